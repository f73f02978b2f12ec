"""Networks as ONNX files, and ONNX Runtime as a backend. Whole networks are compared on a GPU, and by hand."""

import ast
import copy
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from pipeline.liveportrait.backend import BackendError
from pipeline.liveportrait.backends import export, runtime
from pipeline.liveportrait.backends.eager import Eager
from pipeline.liveportrait.backends.export import Exportable, export_onnx, gather_sample, made, write_onnx
from pipeline.liveportrait.backends.onnx import OnnxRuntime, OnnxSession, optimize
from pipeline.liveportrait.backends.ops import warp
from pipeline.liveportrait.backends.ops.exact_generator import UpBlock
from pipeline.liveportrait.backends.ops.fourier import FourierConv3d
from pipeline.liveportrait.networks.generator import SpadeBlock
from pipeline.liveportrait.networks.layers import fold
from pipeline.liveportrait.networks.motion_extractor import KEYPOINTS, POSE_BINS, ConvNeXtBlock, RawMotion
from pipeline.models.store import WeightsError
from tests.support.tiny_liveportrait import tiny_networks

pytest.importorskip("onnxscript")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class Feature(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, picture):
        return self.conv(picture)


class MotionStub(nn.Module):
    """Every quantity its own number times the picture's mean."""

    def __init__(self):
        super().__init__()
        sizes = ((KEYPOINTS, 3), (1,), *((POSE_BINS,),) * 3, (3,), (KEYPOINTS, 3))
        self.factors = nn.ParameterList(nn.Parameter(torch.randn(size)) for size in sizes)

    def forward(self, picture):
        mean = picture.mean((1, 2, 3))
        return RawMotion(*(mean.reshape(-1, *(1,) * factor.ndim) * factor for factor in self.factors))


class WarpingStub(nn.Module):
    """Not symmetric: it matters what is the source and what the driver."""

    def forward(self, feature, driving, source):
        return feature * (driving - 2 * source).sum((1, 2))[:, None, None, None]


class GeneratorStub(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 12, 1)

    def forward(self, warped):
        return functional.pixel_shuffle(self.conv(warped), 2).sigmoid()


def small_forms(networks, dtype, device):
    """Networks of some hundred numbers with the names of the real ones."""
    torch.manual_seed(1)
    moving = {"feature": torch.zeros(2, 4, 8, 8), "driving": torch.zeros(2, 21, 3), "source": torch.zeros(2, 21, 3)}
    return {
        "appearance": Exportable(Feature(), {"picture": torch.zeros(2, 3, 8, 8)}, ("feature",)),
        "motion": Exportable(MotionStub(), {"picture": torch.zeros(2, 3, 8, 8)}, RawMotion._fields),
        "warping": Exportable(WarpingStub(), moving, ("warped",)),
        "generator": Exportable(GeneratorStub(), {"warped": torch.zeros(2, 4, 8, 8)}, ("picture",)),
    }


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(runtime, "exportables", small_forms)


@pytest.fixture
def run(tmp_path):
    """What ONNX Runtime makes of a module's file, by a function of the module and its arguments."""

    def run(module, *values):
        inputs = {f"input{index}": value for index, value in enumerate(values)}
        examples = {name: value[:1].repeat(2, *(1,) * (value.ndim - 1)) for name, value in inputs.items()}
        path = tmp_path / "optimized.onnx"
        optimize(onnxruntime, Exportable(module, examples, ("output",)), path, CPU)
        return OnnxSession(onnxruntime, path, CPU)(inputs)["output"]

    return run


@pytest.mark.parametrize("size", [(4, 6, 5), (1, 3, 2)])
def test_gathering_is_grid_sample(size):
    feature, grid = torch.randn(2, 3, *size), torch.rand(2, 2, 4, 3, 3) * 3 - 1.5
    grid[0, 0, 0] = torch.tensor([[-1.0, 1.0, 0.0], [1e9, 0.0, 0.0], [0.0, -1e9, 1.0]])
    expected = functional.grid_sample(feature, grid, align_corners=False)
    assert torch.allclose(gather_sample(feature, grid), expected, atol=2e-6)
    assert not gather_sample(feature, grid)[0, :, 0, 0, 1:].any()


def test_other_ways_of_sampling_are_refused():
    with pytest.raises(ValueError, match="Only trilinear sampling"):
        gather_sample(torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, 1, 1, 3), align_corners=True)


class Warp(nn.Module):
    def forward(self, logits, shifts, feature):
        return warp.warp(logits, shifts, feature)


class Upsampling(nn.Module):
    """UpBlock behind one signature."""

    def __init__(self):
        super().__init__()
        block = SpadeBlock(8, 4)
        for conv in (block.conv_0, block.conv_1, block.conv_s):
            nn.init.normal_(conv.weight_orig, std=0.1)
            nn.init.constant_(conv.weight_u, 0.5)
            nn.init.constant_(conv.weight_v, 0.5)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        self.block = UpBlock(fold(block), 2)

    def forward(self, x, condition):
        return self.block(x.clone(), condition)


BLOCKS = {
    "warp": lambda: (Warp(), torch.randn(1, 24, 4, 6, 5), torch.randn(1, 22, 3) * 0.2, torch.randn(1, 8, 4, 6, 5)),
    "mask": lambda: (FourierConv3d(nn.Conv3d(4, 3, 7, padding=3), 8, 4), torch.randn(1, 4, 4, 8, 8)),
    "upsampling": lambda: (Upsampling(), torch.randn(1, 8, 4, 4), torch.randn(1, 256, 4, 4)),
    "motion": lambda: (ConvNeXtBlock(8), torch.randn(1, 8, 6, 6)),
}


@pytest.mark.parametrize("block", BLOCKS)
def test_every_kind_of_block_survives_with_any_batch(block, run):
    module, *one = BLOCKS[block]()
    three = [torch.cat((value, value * 0.5, value * 0.9)) for value in one]
    with torch.no_grad():
        expected = module(*three)
    assert (run(module, *three) - expected).abs().max() < 2e-5 * expected.abs().max()


def test_half_precision_stays_half_and_coordinates_do_not(tmp_path):
    inputs = {
        "logits": torch.zeros(2, 24, 4, 6, 5).half(),
        "shifts": torch.zeros(2, 22, 3),
        "feature": torch.zeros(2, 8, 4, 6, 5).half(),
    }
    write_onnx(Exportable(Warp(), inputs, ("output",)), tmp_path / "half.onnx")
    graph = onnx.load(tmp_path / "half.onnx").graph
    assert graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    softmax = next(node for node in graph.node if node.op_type == "Softmax")
    before = next(node for node in graph.node if node.output[0] == softmax.input[0])
    assert before.op_type == "Cast" and before.attribute[0].i == onnx.TensorProto.FLOAT
    assert "GridSample" not in {node.op_type for node in graph.node}


def test_a_folder_says_what_is_in_it(monkeypatch, tmp_path):
    forms = small_forms(None, torch.float32, CPU)
    monkeypatch.setattr(export, "exportables", lambda *_: {name: forms[name] for name in ("warping", "motion")})
    steps = []
    networks = tiny_networks()
    export_onnx(networks, tmp_path, "fp32", CPU, lambda *step: steps.append(step))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert steps == [(1, 2), (2, 2)]
    assert manifest["format"] == "onnx" and manifest["precision"] == "fp32"
    assert manifest["versions"] == {"opset": "20", "torch": torch.__version__}
    assert manifest["weights"] == networks.digests
    warping = manifest["networks"]["warping"]
    assert warping["inputs"]["source"] == {"type": "float32", "sizes": ["batch", 21, 3]}
    assert list(warping["inputs"]) == ["feature", "driving", "source"]
    assert manifest["networks"]["motion"]["outputs"].keys() == set(RawMotion._fields)
    for network in manifest["networks"].values():
        onnx.checker.check_model(tmp_path / network["file"], full_check=True)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder for what is made of the small networks, once."""
    return tmp_path_factory.mktemp("kept")


def test_what_was_made_is_found_again(small, kept, monkeypatch):
    steps = []
    OnnxRuntime(None, CPU, torch.float32, kept).warm_up(lambda *step: steps.append(step))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    files = sorted(path.name for path in kept.iterdir())
    assert [name.partition(".")[0] for name in files] == ["appearance", "generator", "motion", "warping"]
    assert all(f"onnxruntime-{onnxruntime.__version__}" in name for name in files)
    monkeypatch.setattr("pipeline.liveportrait.backends.onnx.write_onnx", lambda *_: pytest.fail("exported again"))
    again = OnnxRuntime(None, CPU, torch.float32, kept)
    again.warm_up(lambda *_: None)
    assert again.motion(torch.ones(3, 3, 8, 8)).pitch.shape == (3, POSE_BINS)


def test_the_backend_is_its_networks(small, kept):
    backend = OnnxRuntime(None, CPU, torch.float32, kept)
    forms = {name: form.module for name, form in small_forms(None, torch.float32, CPU).items()}
    picture, driven, points = torch.rand(2, 3, 8, 8), torch.rand(2, 21, 3), torch.rand(2, 21, 3)
    with torch.inference_mode():
        features = backend.appearance(picture[:1]), backend.appearance(picture[1:])
        assert torch.allclose(torch.cat(features), forms["appearance"](picture), atol=1e-6)
        for found, expected in zip(backend.motion(picture), forms["motion"](picture), strict=True):
            assert torch.allclose(found, expected, atol=1e-6)
        sources = [backend.prepare_source(f, p[None]) for f, p in zip(features, points, strict=True)]
        drawn = backend.draw(sources, driven)
        expected = forms["generator"](forms["warping"](torch.cat(features), driven, points))
    assert drawn.shape == (2, 3, 16, 16)
    assert torch.allclose(drawn, expected, atol=1e-6)


def test_a_key_is_of_weights_shapes_and_types():
    def key(module, size=8):
        example = torch.zeros(2, 3, size, size)
        return Exportable(module, {"picture": example}, ("feature",)).key()

    network = Feature()
    other = copy.deepcopy(network)
    assert key(network) == key(other)
    with torch.no_grad():
        other.conv.bias[0] += 1e-3
    keys = {key(network), key(other), key(network, 4), key(copy.deepcopy(network).half())}
    assert len(keys) == 4


def test_a_key_is_of_all_code_that_is_exported():
    folder = Path(export.__file__).parent

    def imported(form):
        tree = ast.parse((folder / f"{form}.py").read_text())
        froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        modules = {node.module for node in froms} | {
            f"{node.module}.{each.name}" for node in froms for each in node.names
        }
        here = {name.removeprefix("pipeline.liveportrait.backends.").replace(".", "/") for name in modules}
        return {name for name in here if (folder / f"{name}.py").exists()}

    assert set().union(*map(imported, export.FORMS)) <= set(export.FORMS)


def test_a_file_is_whole_or_not_there(tmp_path):
    def half_way(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(WeightsError, match="No space left on device"):
        made(tmp_path / "file", half_way)
    assert list(tmp_path.iterdir()) == []


def test_without_the_packages_it_says_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"`pip install onnxruntime==[\d.]+` installs it"):
        OnnxRuntime(None, CPU, torch.float32, tmp_path)
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BackendError, match=r"`pip install onnx==[\d.]+ onnxscript==[\d.]+` installs them"):
        write_onnx(small_forms(None, torch.float32, CPU)["appearance"], tmp_path / "x.onnx")


def test_what_it_cannot_do_is_refused(tmp_path):
    with pytest.raises(BackendError, match="computes in fp32 or fp16"):
        OnnxRuntime(None, CPU, torch.bfloat16, tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(BackendError, match="pip install onnxruntime-gpu=="):
            OnnxRuntime(None, torch.device("cuda"), torch.float16, tmp_path)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2e-2), (torch.float16, 5e-2)])
def test_whole_networks_on_a_gpu(stand_in_networks, tmp_path, dtype, error):
    """With TF32, which both may use; the picture's values are in 0..1."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no CUDA")
    device = torch.device("cuda")
    backend = OnnxRuntime(folded(stand_in_networks), device, dtype, tmp_path)
    eager = Eager(folded(stand_in_networks), device, torch.float32)
    picture, points = torch.rand(2, 3, 256, 256, device=device), torch.rand(2, 21, 3, device=device) - 0.5
    features = eager.appearance(picture[:1]), eager.appearance(picture[1:])
    assert (backend.appearance(picture[:1]) - features[0]).abs().max() < error * features[0].abs().max()
    for found, expected in zip(backend.motion(picture), eager.motion(picture), strict=True):
        assert (found - expected).abs().max() < error * expected.abs().max()
    sources = [eager.prepare_source(f, p[None]) for f, p in zip(features, points, strict=True)]
    driven = points + torch.randn_like(points) * 0.05
    drawn, expected = backend.draw(sources, driven).float(), eager.draw(sources, driven)
    assert (drawn - expected).square().mean() < 10 ** (-4.0)
    first = drawn.clone()
    backend.draw(sources[::-1], driven)
    assert torch.equal(first, drawn)


def folded(networks):
    """A copy that may be taken."""
    copied = copy.deepcopy(networks)
    for name in ("appearance", "motion", "warping", "generator"):
        fold(getattr(copied, name))
    return copied
