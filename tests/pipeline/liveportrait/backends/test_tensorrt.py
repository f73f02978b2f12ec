"""TensorRT as a backend, with a stand-in for the library: what is built for what, kept where, and bound by name."""

import ctypes
import math
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pipeline.liveportrait.backend import BackendError
from pipeline.liveportrait.backends import export
from pipeline.liveportrait.backends.eager import Eager
from pipeline.liveportrait.backends.export import Exportable
from pipeline.liveportrait.backends.tensorrt import BATCHES, TensorRT, TensorRtEngine, build, export_tensorrt

CPU = torch.device("cpu")


class Add(nn.Module):
    def forward(self, first, second):
        return first + 10 * second


EXAMPLES = {"first": torch.zeros(2, 3), "second": torch.zeros(2, 3)}
ADD = Exportable(Add(), EXAMPLES, ("sum",))


class FakeContext:
    """Executes first + 10 second on host memory, by the addresses that it was told."""

    def __init__(self):
        self.shapes, self.addresses = {}, {}

    def set_input_shape(self, name, shape):
        self.shapes[name] = shape
        return BATCHES[0] <= shape[0] <= BATCHES[-1]

    def get_tensor_shape(self, name):
        assert name == "sum"
        return self.shapes["first"]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        assert stream == 7
        count = math.prod(self.shapes["first"])
        first, second, total = (
            (ctypes.c_float * count).from_address(self.addresses[name]) for name in ("first", "second", "sum")
        )
        total[:] = [a + 10 * b for a, b in zip(first, second, strict=True)]
        return True


class FakeEngine:
    names = ("sum", "second", "first")  # an order of its own
    num_io_tensors = 3

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_mode(self, name):
        return "output" if name == "sum" else "input"

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name="FLOAT")

    def create_execution_context(self):
        return FakeContext()


class FakeTensorRT:
    """As much of the module as the backend uses; it remembers what it was asked to build."""

    __version__ = "11.4.0"
    TensorIOMode = SimpleNamespace(OUTPUT="output")
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)

    def __init__(self, errors=(), plan=b"plan"):
        self.errors, self.plan, self.profile, self.built = errors, plan, {}, 0

    class Logger:
        ERROR = "error"

        def __init__(self, severity):
            pass

    def Builder(self, logger):  # noqa: N802
        def build_serialized_network(network, config):
            self.built += 1
            return self.plan

        return SimpleNamespace(
            create_network=lambda flags: {2: "strongly typed"}[flags],
            create_builder_config=lambda: SimpleNamespace(add_optimization_profile=lambda profile: 0),
            create_optimization_profile=lambda: SimpleNamespace(
                set_shape=lambda name, *sizes: self.profile.update({name: sizes})
            ),
            build_serialized_network=build_serialized_network,
        )

    def OnnxParser(self, network, logger):  # noqa: N802
        return SimpleNamespace(
            parse_from_file=lambda path: not self.errors,
            num_errors=len(self.errors),
            get_error=lambda index: self.errors[index],
        )

    def Runtime(self, logger):  # noqa: N802
        return SimpleNamespace(deserialize_cuda_engine=lambda plan: FakeEngine() if plan == self.plan else None)


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """A name and a stream where there is no GPU."""
    if not torch.cuda.is_available():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=7))


@pytest.fixture
def unwritten(monkeypatch):
    """Building without the export, which test_backends_onnx.py tests."""
    monkeypatch.setattr(export, "write_onnx", lambda network, path: path.write_bytes(b"graph") and {"inputs": {}})


def test_tensors_are_bound_by_name(tmp_path):
    (tmp_path / "add.engine").write_bytes(b"plan")
    engine = TensorRtEngine(FakeTensorRT(), tmp_path / "add.engine", CPU)
    first, second = torch.arange(6.0).reshape(2, 3), torch.ones(2, 3)
    results = engine({"second": second, "first": first})
    assert list(results) == ["sum"] and torch.equal(results["sum"], first + 10)
    again = engine({"first": first[:1], "second": second[:1]})["sum"]
    assert again.shape == (1, 3) and torch.equal(results["sum"], first + 10)


def test_too_many_pictures_are_refused(tmp_path):
    (tmp_path / "add.engine").write_bytes(b"plan")
    many = torch.zeros(9, 3)
    with pytest.raises(BackendError, match=r"add\.engine takes 1 to 8 pictures, not first \[9, 3\]"):
        TensorRtEngine(FakeTensorRT(), tmp_path / "add.engine", CPU)({"first": many, "second": many})


def test_a_damaged_engine_is_named(tmp_path):
    (tmp_path / "add.engine").write_bytes(b"cut")
    with pytest.raises(BackendError, match=r"cannot load .*add\.engine; delete it and start again"):
        TensorRtEngine(FakeTensorRT(), tmp_path / "add.engine", CPU)


def test_an_engine_is_for_one_to_eight_pictures(unwritten, tmp_path):
    library = FakeTensorRT()
    build(library, ADD, tmp_path / "add.engine")
    assert library.profile == dict.fromkeys(EXAMPLES, ((1, 3), (1, 3), (8, 3)))
    assert [path.name for path in tmp_path.iterdir()] == ["add.engine"]


def test_what_tensorrt_cannot_read_or_build_is_said(unwritten, tmp_path):
    with pytest.raises(BackendError, match=r"cannot read add\.onnx: no such operator\."):
        build(FakeTensorRT(errors=["no such operator"]), ADD, tmp_path / "add.engine")
    with pytest.raises(BackendError, match="for this GPU; use --backend compiled"):
        build(FakeTensorRT(plan=None), ADD, tmp_path / "add.engine")


@pytest.fixture
def opener(unwritten, monkeypatch, tmp_path):
    """Opens a network as the backend does, on a GPU of this name."""

    def open_on(library, network, name="NVIDIA H100 80GB HBM3"):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
        opened = TensorRT.__new__(TensorRT)
        opened.device, opened._library, opened._folder = CPU, library, tmp_path
        opened.open("warping", network)

    return open_on


def test_an_engine_is_kept_for_its_weights_library_and_gpu(opener, tmp_path):
    library, newer = FakeTensorRT(), FakeTensorRT()
    newer.__version__ = "11.5.0"
    for _ in range(2):
        opener(library, ADD)
    assert library.built == 1
    opener(library, ADD, "NVIDIA L4")
    opener(library, Exportable(nn.Bilinear(3, 3, 3), EXAMPLES, ("sum",)))
    opener(newer, ADD)
    assert (library.built, newer.built) == (3, 1)
    names = {path.name.removeprefix(f"warping.{ADD.key()}.") for path in tmp_path.iterdir()}
    assert {"tensorrt-11.4.0-NVIDIA-L4.engine", "tensorrt-11.5.0-NVIDIA-H100-80GB-HBM3.engine"} < names


def test_a_folder_of_engines_says_what_is_in_it(unwritten, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT())
    monkeypatch.setattr(export, "exportables", lambda *_: {"warping": ADD})
    networks = SimpleNamespace(digests={"warping_module": "0" * 64})
    manifest = export_tensorrt(networks, tmp_path, "fp16", torch.device("cuda"), lambda *_: None)
    assert manifest.format == "tensorrt" and manifest.versions["tensorrt"] == "11.4.0"
    assert manifest.networks["warping"]["file"] == "warping.engine"
    assert {path.name for path in tmp_path.iterdir()} == {"warping.engine", "manifest.json"}


def test_without_gpu_or_package_it_says_what_to_do(monkeypatch):
    with pytest.raises(BackendError, match="needs an NVIDIA GPU; --backend onnx runs on a CPU"):
        TensorRT(None, CPU, torch.float32)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"not available: `pip install tensorrt==[\d.]+` \(needs an NVIDIA GPU\)"):
        TensorRT(None, torch.device("cuda"), torch.float16)


@pytest.mark.gpu
def test_whole_networks_on_a_gpu(stand_in_networks, tmp_path):
    pytest.importorskip("tensorrt")
    from tests.pipeline.liveportrait.backends.test_onnx import folded

    device = torch.device("cuda")
    fast = TensorRT(folded(stand_in_networks), device, torch.float16, tmp_path)
    eager = Eager(folded(stand_in_networks), device, torch.float32)
    picture, points = torch.rand(1, 3, 256, 256, device=device), torch.rand(1, 21, 3, device=device) - 0.5
    sources, driven = [eager.prepare_source(eager.appearance(picture), points)], points + 0.05
    drawn, expected = fast.draw(sources, driven).float(), eager.draw(sources, driven)
    assert (drawn - expected).square().mean() < 10 ** (-4.0)
