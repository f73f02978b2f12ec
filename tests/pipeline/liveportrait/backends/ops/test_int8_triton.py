"""The Triton kernel of 8-bit convolutions: in the interpreter where there is no GPU, and compiled for some."""

import pytest

pytest.importorskip("triton", reason="the kernel is Triton's")
torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

import triton  # noqa: E402
from torch import nn  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402

from pipeline.liveportrait.backends.ops import int8_triton  # noqa: E402
from pipeline.liveportrait.backends.ops.int8 import along, balance_of, counted, counted_weight  # noqa: E402
from tests.support.interpreter import check_interpreted  # noqa: E402

INTERPRETED = triton.knobs.runtime.interpret
interpreted = pytest.mark.skipif(not INTERPRETED, reason="runs in the interpreter, see test_in_the_interpreter")
compiled = pytest.mark.skipif(INTERPRETED, reason="the interpreter is tested alone")
SHAPES = {  # of tile sizes: inputs, outputs, taps, map
    "more than a tile of each": (70, 130, (3, 3), (2, 9, 11)),
    "one tap": (20, 16, (1, 1), (1, 5, 7)),
    "volume": (24, 40, (3, 3, 3), (1, 3, 4, 5)),
    "many taps": (5, 24, (5, 5, 5), (1, 3, 4, 4)),
}


def case(inputs, outputs, taps, size, device="cpu"):
    """A convolution, pictures of different liveliness, and the balance of their channels."""
    torch.manual_seed(0)
    kind = nn.Conv2d if len(taps) == 2 else nn.Conv3d
    conv = kind(inputs, outputs, taps, padding=tuple(tap // 2 for tap in taps)).requires_grad_(False).to(device)
    batch, *sides = size
    x = torch.randn(batch, inputs, *sides) + torch.arange(batch).reshape(-1, *[1] * (len(sides) + 1))
    x = nn.functional.leaky_relu(x, 0.2).to(device)
    return conv, x, balance_of(x)


def exact(conv, x, balance):
    """The sums in float64, which holds them all."""
    weight, scales = counted_weight(conv.weight, balance)
    numbers, steps, zeros = (tensor.double() for tensor in counted(x, balance))
    convolve = nn.functional.conv2d if x.ndim == 4 else nn.functional.conv3d
    each = (-1, *[1] * (x.ndim - 1))
    sums = convolve(numbers - zeros.reshape(each), weight.double(), padding=conv.padding)
    return (sums * steps.reshape(each) * along(scales, x) + along(conv.bias, x)).float()


@interpreted
@pytest.mark.parametrize("name", SHAPES)
def test_exact_sums_interpreted(name):
    conv, x, balance = case(*SHAPES[name])
    torch.testing.assert_close(int8_triton.TritonConv(conv, balance)(x), exact(conv, x, balance), rtol=0, atol=5e-6)


@interpreted
def test_type_of_the_map_interpreted():
    conv, x, balance = case(*SHAPES["volume"])
    found = int8_triton.TritonConv(conv, balance)(x.half())
    assert found.dtype == torch.float16 and found.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(found.float(), exact(conv, x.half(), balance), rtol=1e-3, atol=1e-3)


@compiled
def test_in_the_interpreter():
    check_interpreted(__file__, 5)


@compiled
@pytest.mark.parametrize("capability", [80, 89, 90])
@pytest.mark.parametrize(("outputs", "taps_z", "taps"), [(512, 1, 3), (24, 7, 7)])
def test_compiles_for_a_gpu_that_is_not_there(outputs, taps_z, taps, capability, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    pointers = {"out": "*fp16", "rows": "*i8", "steps": "*fp32", "fills": "*i32", "weight": "*i8"}
    pointers |= {"scales": "*fp32", "sums": "*i32", "bias": "*fp32", "pixels": "i32"}
    sizes = {"DEPTH": 16, "HEIGHT": 64, "WIDTH": 64, "CHANNELS": 144, "OUTPUTS": outputs}
    tiles = {
        "PIXEL_TILE": int8_triton.PIXELS,
        "INPUT_TILE": int8_triton.INPUTS,
        "OUTPUT_TILE": min(128, max(32, outputs)),
    }
    constants = sizes | tiles | {"TAPS_Z": taps_z, "TAPS": taps}
    kernel = int8_triton.convolution_kernel
    signature = {name: pointers.get(name, "constexpr") for name in kernel.arg_names}
    assert signature.keys() == pointers.keys() | constants.keys()
    aligned = {(index,): [["tt.divisibility", 16]] for index in range(8)}
    source = triton.compiler.ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
    options = {"num_warps": 8 if outputs > 64 else 4, "num_stages": 4}
    assembled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm
    assert f".target sm_{capability}" in assembled["ptx"] and assembled["cubin"].startswith(b"\x7fELF")
    multiplies = "wgmma.mma_async" if capability == 90 else "mma.sync"
    assert multiplies in assembled["ptx"] and ".s8.s8" in assembled["ptx"]


@compiled
def test_shape_is_known_without_running():
    with torch._subclasses.FakeTensorMode():
        rows, weight = torch.zeros(1, 4, 6, 8, dtype=torch.int8), torch.zeros(32, 9, 64, dtype=torch.int8)
        of_pictures = torch.ones(1), torch.zeros(1, dtype=torch.int32)
        of_outputs = torch.ones(24), torch.zeros(24, dtype=torch.int32), torch.zeros(24)
        out = int8_triton.convolve(rows, *of_pictures, weight, *of_outputs, [3, 3], torch.float16)
    assert out.shape == (1, 4, 6, 24) and out.dtype == torch.float16


@pytest.mark.gpu
@pytest.mark.parametrize("name", SHAPES)
@torch.inference_mode()
def test_exact_sums_on_a_gpu(name):
    conv, x, balance = case(*SHAPES[name], device="cuda")
    expected = exact(conv, x, balance)
    torch.testing.assert_close(int8_triton.TritonConv(conv, balance)(x), expected, rtol=0, atol=5e-6)
    module = torch.compile(int8_triton.TritonConv(conv, balance), fullgraph=True)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=5e-6)


@pytest.mark.gpu
@torch.inference_mode()
def test_full_size_on_a_gpu():
    conv, x, balance = case(512, 512, (3, 3), (2, 64, 64), "cuda")
    found = int8_triton.TritonConv(conv, balance)(x.half().contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found.float(), exact(conv, x.half(), balance), rtol=1e-3, atol=1e-3)
