"""8-bit integers: counting, exact sums, and the pictures of the whole networks against float32's."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from torch import nn  # noqa: E402

from pipeline.imaging.image_quality import psnr  # noqa: E402
from pipeline.liveportrait.backend import BackendError  # noqa: E402
from pipeline.liveportrait.backends.ops.exact_generator import Residual  # noqa: E402
from pipeline.liveportrait.backends.ops.int8 import OneDnnConv, along, balance_of, counted, counted_weight  # noqa: E402
from pipeline.liveportrait.backends.quantized import Quantized, check, quantize  # noqa: E402
from pipeline.liveportrait.checkpoint import Networks  # noqa: E402
from pipeline.liveportrait.networks.generator import SpadeBlock  # noqa: E402
from pipeline.liveportrait.networks.layers import fold  # noqa: E402

CPU = torch.device("cpu")


def numbers(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def test_numbers_of_each_picture():
    values = torch.tensor([[[0, 255, 127.4, 2.5]], [[-5.1, 20.4, 0, 0.05]], [[-25.5, -1, -0.04, 0]], [[0, 0, 0, 0]]])
    numbers, steps, zeros = counted(values, torch.ones(1))
    assert zeros.tolist() == [0, 51, 255, 0]
    assert steps.tolist() == pytest.approx([1, 0.1, 0.1, 0])
    assert numbers.tolist() == [[[0, 255, 127, 3]], [[0, 255, 51, 52]], [[0, 245, 255, 255]], [[0, 0, 0, 0]]]


def test_channels_are_divided_first():
    numbers, steps, _ = counted(torch.tensor([[[0.0, 51], [0, 0.05]]]), torch.tensor([1, 0.001]))
    assert numbers.tolist() == [[[0, 255], [0, 250]]] and steps.item() == pytest.approx(0.2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_numbers_are_counted_in_float32(dtype):
    values = torch.arange(-100, 156, 2).to(dtype)[None, None]
    for found, expected in zip(counted(values, torch.ones(1)), counted(values.float(), torch.ones(1)), strict=True):
        assert torch.equal(found, expected)


def test_balance_makes_channels_alike():
    values = torch.tensor([[[0.04, -0.01], [0, 0], [10, -100]]])
    assert balance_of(values).tolist() == pytest.approx([0.2, 1, 10])


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_what_has_no_range(value):
    with pytest.raises(ValueError, match="calibrate with a face"):
        balance_of(torch.full((1, 2, 4), value))


def test_weights_use_all_their_levels():
    weight = torch.tensor([[[1.0], [-2.0]], [[0.0], [0.0]]])
    numbers, scales = counted_weight(weight, torch.tensor([2.0, 1.0]))
    assert numbers.tolist() == [[[127], [-127]], [[0], [0]]]
    assert scales.tolist() == pytest.approx([2 / 127, 1])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("axes", [2, 3])
def test_sums_are_exact(axes, bias):
    torch.manual_seed(0)
    conv = (nn.Conv2d, nn.Conv3d)[axes - 2](5, 20, 3, padding=1, bias=bias).requires_grad_(False)
    x = nn.functional.leaky_relu(numbers(2, 5, *[6] * axes), 0.2) * torch.tensor([1, 3]).reshape(2, *[1] * (axes + 1))
    balance = balance_of(x)
    weight, scales = counted_weight(conv.weight, balance)
    counts, steps, zeros = (tensor.double() for tensor in counted(x, balance))
    each = (2, *[1] * (axes + 1))
    convolve = (nn.functional.conv2d, nn.functional.conv3d)[axes - 2]
    expected = convolve(counts - zeros.reshape(each), weight.double(), padding=1)
    expected = expected * steps.reshape(each) * along(scales, x) + (along(conv.bias, x) if bias else 0)
    found = OneDnnConv(conv, balance)(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=5e-6)
    assert OneDnnConv(conv, balance)(x.bfloat16()).dtype == torch.bfloat16
    alone = OneDnnConv(conv, balance)(x[:1])
    torch.testing.assert_close(alone, found[:1], rtol=0, atol=5e-6)  # whatever it is drawn with


def test_quantize_replaces_what_it_is_to_and_nothing_else():
    torch.manual_seed(0)
    block = SpadeBlock(32, 32)
    for parameter in (*block.parameters(), *block.buffers()):
        nn.init.normal_(parameter, std=0.1)
    form = nn.Sequential(Residual(fold(block)), nn.Conv2d(32, 8, 1)).requires_grad_(False)
    inputs = (numbers(1, 32, 16, 16), numbers(1, 128, 16, 16, seed=1).relu(), numbers(1, 128, 16, 16, seed=2).relu())
    plain = form[0](*inputs)
    exact, found = quantize([form], lambda: form[0](*inputs))
    kinds = {name for name, module in form.named_modules() if isinstance(module, OneDnnConv)}
    assert kinds == {"0.conv_0", "0.conv_1", "0.norm_0.gamma_beta", "0.norm_1.gamma_beta"}
    assert torch.equal(exact, plain) and not torch.equal(found, plain)
    assert 30 < psnr(found, plain, peak=float(plain.std())) < 50
    assert torch.equal(form[0](*inputs), found)


def test_the_bar():
    exact = torch.full((1, 3, 4, 4), 0.5)
    check(exact, exact)
    check(exact, exact + 0.017)
    with pytest.raises(BackendError, match=r"34\.9 dB.*needs 35 dB. Use --backend compiled"):
        check(exact, exact + 0.018)
    with pytest.raises(BackendError, match="nan dB"):
        check(exact, exact * torch.nan)


def folded(networks: Networks) -> Networks:
    copies = copy.deepcopy(vars(networks))
    return Networks(**{name: fold(value) if isinstance(value, nn.Module) else value for name, value in copies.items()})


@pytest.mark.parametrize(
    ("device", "dtype", "motion_error"),
    [("cpu", torch.bfloat16, 1e-5), pytest.param("cuda", torch.float16, 0.2, marks=pytest.mark.gpu)],
)
def test_the_whole_networks(stand_in_networks, device, dtype, motion_error):
    networks, random = folded(stand_in_networks), torch.Generator().manual_seed(0)
    picture = nn.functional.interpolate(torch.rand(1, 3, 16, 16, generator=random), size=(256, 256), mode="bilinear")
    with torch.inference_mode():
        expected = networks.motion(picture).packed()
    backend = Quantized(networks, torch.device(device), dtype)  # compares a picture with float32's, and passes
    picture = picture.to(backend.device)
    assert (backend.motion(picture).packed().cpu() - expected).abs().max() <= motion_error
    points = torch.zeros(1, 21, 3, device=backend.device)
    drawn = backend.draw([backend.prepare_source(backend.appearance(picture), points)], points)
    assert drawn.shape == (1, 3, 512, 512) and drawn.dtype == dtype and 0.05 < drawn.float().std() < 0.5
