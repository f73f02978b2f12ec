from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from torch import nn  # noqa: E402

from pipeline.liveportrait.backends.ops.weight_only import LARGEST, weights_only  # noqa: E402


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(16, 64, 3), nn.ReLU(), nn.Conv2d(64, 4, 1)).requires_grad_(False)


@pytest.mark.parametrize(("kind", "share"), [("int8", 0.5 / 127), ("fp8", 2**-4)])
def test_weights_are_as_near_as_their_bits_allow(kind, share):
    small, exact = network(), network()
    weights_only(small, kind)
    stored = small[0].parametrizations.weight.original0
    assert stored.element_size() == 1 and stored.float().abs().amax() <= LARGEST[kind]
    largest = exact[0].weight.abs().amax((1, 2, 3), keepdim=True)
    assert ((small[0].weight - exact[0].weight).abs() <= share * largest * 1.001).all()
    picture = torch.randn(1, 16, 8, 8)
    assert (small(picture) - exact(picture)).abs().max() < 0.05


def test_small_weights_and_biases_stay():
    small, exact = network(), network()
    weights_only(small, "int8")
    assert (small[2].weight == exact[2].weight).all() and (small[0].bias == exact[0].bias).all()


def test_zeros_stay_zeros():
    small = nn.Linear(64, 64)
    nn.init.zeros_(small.weight)
    weights_only(small, "fp8")
    assert (small.weight == 0).all()
