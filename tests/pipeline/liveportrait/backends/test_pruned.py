"""Pruning: which channels go, that the rest still fits together, and that nothing is lost where nothing was."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from torch import nn  # noqa: E402

from pipeline.liveportrait.backends.ops.exact_generator import ExactGenerator  # noqa: E402
from pipeline.liveportrait.backends.ops.exact_warping import ExactWarping  # noqa: E402
from pipeline.liveportrait.backends.pruned import Group, Reader, _generator_groups, _hourglass_groups, pruned  # noqa: E402
from pipeline.liveportrait.checkpoint import Networks  # noqa: E402
from pipeline.liveportrait.networks.generator import SpadeGenerator  # noqa: E402
from pipeline.liveportrait.networks.layers import fold  # noqa: E402
from pipeline.liveportrait.networks.warping import WarpingNetwork  # noqa: E402

OTHERS = {field.name: None for field in dataclasses.fields(Networks)} | {"digests": {}}


def random_networks():
    """G and W, folded, of weights that keep activations of order one."""
    torch.manual_seed(0)
    networks = []
    for build in (SpadeGenerator, WarpingNetwork):
        with torch.device("meta"):
            network = fold(build())
        network = network.to_empty(device="cpu")
        for parameter in network.parameters():
            std = 0.1 if parameter.ndim == 1 else (2 / parameter[0].numel()) ** 0.5
            nn.init.normal_(parameter, std=std)
        networks.append(network)
    return Networks(**OTHERS | dict(zip(("generator", "warping"), networks, strict=True)))


@pytest.fixture(scope="module")
def networks():
    return random_networks()


@torch.inference_mode()
def results(generator, warping):
    """Of small maps."""
    random = torch.Generator().manual_seed(1)
    feature = torch.randn(1, 32, 16, 32, 32, generator=random)
    driving, source = torch.rand(2, 1, 21, 3, generator=random) - 0.5
    if isinstance(warping, ExactWarping):
        warped = warping(warping.prepare(feature, source), driving)
    else:
        warped = warping(feature, driving, source).feature
    return warped, generator(torch.randn(1, 256, 4, 4, generator=random))


def agree(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-4)


def test_the_least_important_channels_go():
    makers = nn.Conv2d(2, 32, 1).requires_grad_(False), nn.Conv2d(2, 32, 1, bias=False).requires_grad_(False)
    reader = nn.Conv2d(40, 3, 1).requires_grad_(False)
    for conv in makers:
        nn.init.constant_(conv.weight, 1)
    nn.init.zeros_(makers[0].bias)
    nn.init.constant_(reader.weight, 1)
    reader.weight[:, 8:24] = 0.5
    group = Group(makers, [Reader(reader, first=8)])
    assert group.width == 32
    torch.testing.assert_close(group.importance(), (12 * torch.tensor([0.25] * 16 + [1.0] * 16)).sqrt())
    assert group.kept(0.5).tolist() == [False] * 16 + [True] * 16
    assert group.kept(0.01).all() and group.kept(0.99).sum() == 16


def test_widths(networks):
    half = pruned(networks, 0.5)
    block, up = half.generator.G_middle_0, half.generator.up_1
    assert block.conv_0.weight.shape == (256, 512, 3, 3) and block.conv_1.weight.shape == (512, 256, 3, 3)
    assert block.norm_1.mlp_gamma.weight.shape == (256, 64, 3, 3) and block.norm_1.param_free_norm.num_features == 256
    assert up.norm_s.mlp_beta.weight.shape == (256, 64, 3, 3) and up.conv_s.weight.shape == (64, 256, 1, 1)
    dense = half.warping.dense_motion_network
    down = [block.conv.weight.shape[:2] for block in dense.hourglass.encoder.down_blocks]
    assert down == [(32, 110), (64, 32), (128, 64), (256, 128), (512, 256)]
    decoder = dense.hourglass.decoder
    up = [block.conv.weight.shape[:2] for block in decoder.up_blocks]
    assert up == [(256, 512), (128, 512), (64, 256), (32, 128), (16, 64)]
    assert decoder.conv.weight.shape[:2] == (64, 126)
    assert dense.mask.weight.shape[:2] == (22, 64) and dense.occlusion.weight.shape[:2] == (1, 64 * 16)


def test_nothing_changes_where_nothing_goes(networks):
    same = pruned(networks, 0)
    for name in ("generator", "warping"):
        ours, theirs = getattr(same, name), getattr(networks, name)
        assert ours is not theirs and ours.state_dict().keys() == theirs.state_dict().keys()
        assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())


def test_channels_that_nobody_reads_are_not_missed():
    networks = random_networks()
    random = torch.Generator().manual_seed(2)
    for group in (*_generator_groups(networks.generator), *_hourglass_groups(networks.warping)):
        unread = torch.randperm(group.width, generator=random)[: group.width // 2]
        for reader in group.readers:
            columns = torch.arange(group.width * reader.repeats).reshape(group.width, -1)[unread].flatten()
            reader.conv.weight[:, reader.first + columns] = 0
    less = pruned(networks, 0.5 - 8 / 142)  # of the 142 that the heads read, 80 stay
    assert less.warping.dense_motion_network.mask.in_channels == 80
    agree(results(less.generator, less.warping), results(networks.generator, networks.warping))


def test_the_exact_forms_take_what_is_left(networks):
    less = pruned(networks, 0.3)
    expected = results(less.generator, less.warping)
    agree(results(ExactGenerator(less.generator), ExactWarping(less.warping)), expected)
    assert not torch.allclose(expected[1], results(networks.generator, networks.warping)[1], atol=1e-3)


@pytest.mark.parametrize("ratio", [-0.1, 1.0, float("nan")])
def test_no_such_ratio(networks, ratio):
    with pytest.raises(ValueError, match="use 0 or more, and less than 1"):
        pruned(networks, ratio)
