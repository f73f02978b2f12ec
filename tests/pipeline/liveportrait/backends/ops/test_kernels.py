"""Triton's kernels against their twins, in its interpreter where there is no GPU; compiled for GPUs all the same."""

import pytest

pytest.importorskip("triton", reason="the kernels are Triton's")
torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

import triton  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402

from pipeline.liveportrait.backends.ops import kernels  # noqa: E402
from pipeline.liveportrait.backends.ops import warp as plain  # noqa: E402
from pipeline.liveportrait.networks.warping import CANDIDATES  # noqa: E402
from tests.support.interpreter import check_interpreted  # noqa: E402

INTERPRETED = triton.knobs.runtime.interpret
FULL = (16, 64, 64)
# Of float32: a place is good to some 1e-5 of a sample, and neighbours differ by up to 8. Of the others: half a unit.
TOLERANCES = {torch.float32: (0, 3e-4), torch.float16: (1e-3, 1e-3), torch.bfloat16: (8e-3, 8e-3)}
interpreted = pytest.mark.skipif(not INTERPRETED, reason="runs in the interpreter, see test_in_the_interpreter")
compiled = pytest.mark.skipif(INTERPRETED, reason="the interpreter is tested alone")
KERNELS = {
    kernels.candidates_kernel: (
        {"out": "*fp16", "compressed": "*fp16", "driving": "*fp32", "source": "*fp32"},
        {"CHANNELS": 4, "KEYPOINTS": 21, "OUTPUTS": 112, "GROUP": kernels.GROUP, "SHARPNESS": 50.0},
    ),
    kernels.warp_kernel: (
        {"out": "*fp16", "logits": "*fp16", "shifts": "*fp32", "feature": "*fp16"},
        {"CHANNELS": 32, "CANDIDATES": 22, "TILE": 32}
        | {"ITEM_STRIDE": 24 * 65536, "CANDIDATE_STRIDE": 1, "VOXEL_STRIDE": 24},
    ),
}


def numbers(*size, scale=1.0, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)) * scale


def keypoints(batch, seed):
    """Some near, some that take a candidate partly out of the volume, far out, and absurdly far."""
    return numbers(batch, 21, 3, seed=seed) * torch.tensor([0.1, 0.5, 3, 1e6, 0.3, 1, 0])[torch.arange(21) % 7, None]


def of_candidates(batch, size, dtype, device="cpu"):
    compressed = numbers(batch, 4, *size).relu().to(device, dtype)
    return compressed, keypoints(batch, 1).to(device), numbers(batch, 21, 3, scale=0.4, seed=2).to(device)


def of_warp(batch, size, dtype, device="cpu", channels=32):
    """Padded logits as the mask's convolution gives them on a GPU; every second item leaves its volume far behind."""
    logits = numbers(batch, 24, *size, scale=5).to(device, dtype, memory_format=torch.channels_last_3d)
    shifts = numbers(batch, CANDIDATES, 3, seed=2) * torch.tensor([0.5, 1e6])[torch.arange(batch) % 2, None, None]
    return logits, shifts.to(device), numbers(batch, channels, *size, seed=3).to(device, dtype)


def agree(found, inputs, twin):
    """`found` with the twin's float32 result of the same inputs, but for rounding it."""
    exact = twin(*(tensor.float() for tensor in inputs))
    relative, absolute = TOLERANCES[found.dtype]
    torch.testing.assert_close(found.float(), exact, rtol=relative, atol=absolute)
    return True


@interpreted
@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, (2, 2, 8)), (torch.float16, (2, 2, 2))])
def test_candidates_interpreted(dtype, size):
    inputs = of_candidates(2, size, dtype)
    found = kernels.candidates(*inputs)
    assert found.dtype == dtype and found.is_contiguous(memory_format=torch.channels_last_3d)
    assert agree(found, inputs, plain.candidates)
    assert not found[:, 110:].any() and not found[:, 0].any()


@interpreted
@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, (2, 4, 8)), (torch.float16, (4, 2, 4))])
def test_warp_interpreted(dtype, size):
    inputs = of_warp(2, size, dtype, channels=8)
    found = kernels.warp(*inputs)
    assert found.dtype == dtype and found.is_contiguous(memory_format=torch.channels_last)
    assert agree(found, inputs, plain.warp)
    assert found[0].any() and not found[1].any()


@interpreted
def test_logits_of_any_layout_interpreted():
    logits, shifts, feature = of_warp(1, (2, 2, 4), torch.float32, channels=4)
    expected = kernels.warp(logits, shifts, feature)
    for layout in (logits.contiguous(), logits[:, :CANDIDATES], logits.mT.contiguous().mT):
        assert layout.stride() != logits.stride() or layout.shape != logits.shape
        torch.testing.assert_close(kernels.warp(layout, shifts, feature), expected, rtol=0, atol=1e-6)


@compiled
def test_in_the_interpreter():
    check_interpreted(__file__, 5)


@compiled
@pytest.mark.parametrize("capability", [80, 89, 90])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_compiles_for_a_gpu_that_is_not_there(kernel, capability, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    pointers, constants = KERNELS[kernel]
    constants = constants | dict(zip(("DEPTH", "HEIGHT", "WIDTH"), FULL, strict=True))
    signature = {name: pointers.get(name, "constexpr") for name in kernel.arg_names}
    assert signature.keys() == pointers.keys() | constants.keys()
    source = triton.compiler.ASTSource(fn=kernel, signature=signature, constexprs=constants)
    assembled = triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm
    assert f".target sm_{capability}" in assembled["ptx"] and assembled["cubin"].startswith(b"\x7fELF")


@compiled
def test_on_the_cpu_the_twins_run():
    inputs = of_candidates(1, (2, 4, 4), torch.bfloat16)
    assert torch.equal(kernels.candidates(*inputs), plain.candidates(*inputs))
    inputs = of_warp(1, (2, 4, 4), torch.float32, channels=4)
    assert torch.equal(kernels.warp(*inputs), plain.warp(*inputs))


@compiled
def test_operators_are_what_pytorch_wants_of_them():
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(kernels.candidates, of_candidates(1, (2, 4, 4), torch.float32), test_utils=checks)
    torch.library.opcheck(kernels.warp, of_warp(1, (2, 4, 4), torch.float32, channels=4), test_utils=checks)


def both(compressed, driving, source, logits, shifts, feature):
    return kernels.candidates(compressed, driving, source), kernels.warp(logits, shifts, feature)


@compiled
@torch.inference_mode()
def test_no_graph_break():
    inputs = (*of_candidates(1, (2, 4, 4), torch.float32), *of_warp(1, (2, 4, 4), torch.float32, channels=4))
    torch.testing.assert_close(torch.compile(both, backend="aot_eager", fullgraph=True)(*inputs), both(*inputs))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 3])
def test_full_size_on_a_gpu(batch, dtype):
    inputs = of_candidates(batch, FULL, dtype, "cuda")
    assert agree(kernels.candidates(*inputs), inputs, plain.candidates)
    inputs = of_warp(batch, FULL, dtype, "cuda")
    assert agree(kernels.warp(*inputs), inputs, plain.warp)
    contiguous = (inputs[0].contiguous(), *inputs[1:])
    assert agree(kernels.warp(*contiguous), inputs, plain.warp)


@pytest.mark.gpu
@torch.inference_mode()
def test_captured_and_replayed_with_other_numbers():
    inputs = (*of_candidates(1, FULL, torch.float16, "cuda"), *of_warp(1, FULL, torch.float16, "cuda"))
    both(*inputs)  # compiles outside of the capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        moved, warped = both(*inputs)
    inputs[1].mul_(-0.5)
    inputs[4].mul_(-0.5)
    graph.replay()
    assert agree(moved, inputs[:3], plain.candidates)
    assert agree(warped, inputs[3:], plain.warp)


@pytest.mark.gpu
@torch.inference_mode()
def test_compiled_without_copies():
    inputs = (*of_candidates(1, FULL, torch.float16, "cuda"), *of_warp(1, FULL, torch.float16, "cuda"))
    moved, warped = torch.compile(both, fullgraph=True)(*inputs)
    assert torch.equal(moved, kernels.candidates(*inputs[:3]))
    assert torch.equal(warped, kernels.warp(*inputs[3:]))
    assert moved.is_contiguous(memory_format=torch.channels_last_3d)
    assert warped.is_contiguous(memory_format=torch.channels_last)
