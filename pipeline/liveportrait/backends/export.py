"""Write the networks as ONNX files, for onnx.py and tensorrt.py and for other runtimes.

The number of pictures is free, every other size is fixed. Sampling in three dimensions is written out as gathering,
because TensorRT has `GridSample` in two dimensions only, and ONNX Runtime on CUDA has it in three only lately.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.animator import Progress
from pipeline.liveportrait.backend import BackendError
from pipeline.liveportrait.backends.ops.exact_generator import ExactGenerator
from pipeline.liveportrait.backends.ops.exact_warping import ExactWarping, direct_mask
from pipeline.liveportrait.backends.ops.fourier import FourierConv3d
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.networks.appearance_extractor import CHANNELS, DEPTH
from pipeline.liveportrait.networks.generator import SEGMENTATION
from pipeline.liveportrait.networks.motion_extractor import KEYPOINTS, RawMotion
from pipeline.models.store import digest, whole_file

OPSET = 20  # the first with Gelu as one operator
PACKAGES = {"onnx": "1.23.2", "onnxscript": "0.7.2"}
BATCH = torch.export.Dim("batch", min=1, max=64)
FORMS = ("export", "ops/exact_generator", "ops/exact_warping", "ops/fold", "ops/fourier", "ops/warp")
"""The modules that determine what is exported; files made by other versions of them are not used."""

ExportPrecision = Literal["fp32", "fp16"]
DTYPES: Mapping[ExportPrecision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16}


@dataclass(frozen=True, eq=False)
class Exportable:
    """A network as a file has it."""

    module: nn.Module
    inputs: Mapping[str, Tensor]  # an example of each, by name: a batch of two
    outputs: tuple[str, ...]  # names that no input has

    def key(self) -> str:
        """Return 16 hexadecimal digits of everything that determines the file: weights, shapes, code, PyTorch."""
        content = hashlib.sha256(f"{torch.__version__} {OPSET} {self.outputs}".encode())
        content.update(str([(name, value.shape, value.dtype) for name, value in self.inputs.items()]).encode())
        for name, value in self.module.state_dict().items():
            content.update(f"{name} {value.dtype} {value.shape}".encode())
            content.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        here = Path(__file__).parent
        for source in (*(here / f"{name}.py" for name in FORMS), *sorted((here.parent / "networks").glob("*.py"))):
            content.update(source.read_bytes())
        return content.hexdigest()[:16]


class _Warping(nn.Module):
    """ExactWarping with the inputs of the plain network."""

    def __init__(self, warping: ExactWarping) -> None:
        super().__init__()
        self.warping = warping

    def forward(self, feature: Tensor, driving: Tensor, source: Tensor) -> Tensor:
        """Return (B, 256, 64, 64) for features (B, 32, 16, 64, 64) and keypoints (B, 21, 3), all float32."""
        result: Tensor = self.warping(self.warping.prepare(feature, source), driving)
        return result


def exportables(networks: Networks, dtype: torch.dtype, device: torch.device) -> dict[str, Exportable]:
    """Return every network by its field's name, on the CPU, in the form that is fast on `device`.

    The networks are folded and in float32; those that draw become `dtype`. A file for a CPU is larger, since it has the
    spectrum of the widest convolution.
    """
    mask = FourierConv3d if device.type == "cpu" else direct_mask
    warping = _Warping(ExactWarping(networks.warping, mask)).to("cpu", dtype)
    generator = ExactGenerator(networks.generator).to("cpu", dtype)
    picture = torch.zeros(2, 3, 256, 256)
    moving = {
        "feature": torch.zeros(2, CHANNELS, DEPTH, 64, 64),
        "driving": torch.zeros(2, KEYPOINTS, 3),
        "source": torch.zeros(2, KEYPOINTS, 3),
    }
    warped = {"warped": torch.zeros(2, SEGMENTATION, 64, 64, dtype=dtype)}
    return {
        "appearance": Exportable(networks.appearance, {"picture": picture}, ("feature",)),
        "motion": Exportable(networks.motion, {"picture": picture}, RawMotion._fields),
        "warping": Exportable(warping, moving, ("warped",)),
        "generator": Exportable(generator, warped, ("picture",)),
        "stitching": Exportable(networks.stitching, {"points": torch.zeros(2, 126)}, ("offsets",)),
        "lip": Exportable(networks.lip, {"points": torch.zeros(2, 65)}, ("offsets",)),
        "eye": Exportable(networks.eye, {"points": torch.zeros(2, 66)}, ("offsets",)),
    }


@dataclass(frozen=True)
class Manifest:
    """The content of a folder of exported networks, written there as manifest.json."""

    format: str
    precision: str  # of the networks that draw; the others are float32
    versions: Mapping[str, str]  # of the software that made the files
    weights: Mapping[str, str]  # sha256 of the checkpoints, by name
    networks: Mapping[str, Mapping[str, Any]]  # by field: file, sha256, types and sizes of inputs and outputs by name


Sides = dict[str, dict[str, dict[str, Any]]]
"""The "inputs" and "outputs" of a file: type and sizes by name; the size "batch" is free."""


def export_onnx(
    networks: Networks, folder: Path, precision: ExportPrecision, device: torch.device, progress: Progress
) -> Manifest:
    """Write every network as an ONNX file for `device`, and a manifest. Raise BackendError without the packages."""
    manifest = Manifest("onnx", precision, {}, dict(networks.digests), {})
    return write_all(manifest, exportables(networks, DTYPES[precision], device), write_onnx, folder, progress)


def write_all(
    manifest: Manifest,
    exported: Mapping[str, Exportable],
    write: Callable[[Exportable, Path], Sides],
    folder: Path,
    progress: Progress,
) -> Manifest:
    """Write each network, and the manifest with what they are and which versions of PyTorch and ONNX made them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for done, (name, network) in enumerate(exported.items(), 1):
        file = folder / f"{name}.{'onnx' if manifest.format == 'onnx' else 'engine'}"
        sides = write(network, file)
        written[name] = {"file": file.name, "sha256": digest(file), **sides}
        progress(done, len(exported))
    versions = {**manifest.versions, "opset": str(OPSET), "torch": torch.__version__}
    manifest = dataclasses.replace(manifest, versions=versions, networks=written)
    (folder / "manifest.json").write_text(json.dumps(dataclasses.asdict(manifest), indent=2) + "\n")
    return manifest


def require() -> None:
    """Raise BackendError if a package that exporting needs is missing."""
    if any(importlib.util.find_spec(package) is None for package in PACKAGES):
        pins = " ".join(f"{package}=={version}" for package, version in PACKAGES.items())
        raise BackendError(f"Exporting the networks needs more packages; `pip install {pins}` installs them.")


def write_onnx(network: Exportable, path: Path) -> Sides:
    """Write one file with all weights, and return its inputs and outputs."""
    require()
    free = ({0: BATCH},) * len(network.inputs)
    with _quietly(), torch.no_grad():
        program = torch.export.export(network.module.eval(), tuple(network.inputs.values()), dynamic_shapes=free)
        exported = cast(
            torch.onnx.ONNXProgram,
            torch.onnx.export(
                program.run_decompositions({torch.ops.aten.grid_sampler.default: gather_sample}),
                verbose=False,
                opset_version=OPSET,
                dynamic_shapes=free,
                input_names=list(network.inputs),
                output_names=list(network.outputs),
            ),
        )
    exported.save(path, external_data=False)
    graph = exported.model.graph
    return {
        "inputs": {str(value.name): _described(value) for value in graph.inputs},
        "outputs": {str(value.name): _described(value) for value in graph.outputs},
    }


def _described(value: Any) -> dict[str, Any]:
    sizes = [size if isinstance(size, int) else size.value for size in value.shape]
    return {"type": value.dtype.numpy().name, "sizes": sizes}


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Silence the exporter's remarks about deprecated calls and packages that are not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def gather_sample(
    feature: Tensor, grid: Tensor, interpolation: int = 0, padding: int = 0, align_corners: bool = False
) -> Tensor:
    """Sample (B, C, D, H, W) float32 at (B, D', H', W', 3), xyz in -1..1, like `functional.grid_sample`.

    It uses basic operators: every point is the weighted sum of eight rows of C numbers. Raise ValueError if the other
    arguments are not those of `layers.sample`: trilinear, zero outside, corners not aligned.
    """
    if interpolation or padding or align_corners:
        raise ValueError("Only trilinear sampling with zeros outside and corners not aligned can be exported.")
    batch, channels, *sizes = feature.shape
    rows = feature.flatten(2).transpose(1, 2).reshape(-1, channels)
    depth, height, width = (_neighbours(grid[..., 2 - axis], size) for axis, size in enumerate(sizes))
    first = torch.arange(batch, device=feature.device).reshape(-1, 1, 1, 1) * sizes[0]
    sampled = torch.zeros((), device=feature.device)
    for (z, in_z), (y, in_y), (x, in_x) in product(depth, height, width):
        row = functional.embedding(((first + z) * sizes[1] + y) * sizes[2] + x, rows)
        sampled = sampled + row * (in_z * in_y * in_x)[..., None]
    return sampled.permute(0, 4, 1, 2, 3)


def _neighbours(place: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """Return index and weight of the samples before and after each place in -1..1; the weight is zero outside."""
    position = ((place + 1) * size - 1) / 2
    before = position.floor()
    return [
        (index.clamp(0, size - 1).long(), (1 - (position - index).abs()) * ((index >= 0) & (index < size)))
        for index in (before, before + 1)
    ]


def made(path: Path, make: Callable[[Path], object]) -> Path:
    """Return `path`, made first if it is missing: completely or not at all. Raise WeightsError on a disk error."""
    if not path.exists():
        with whole_file(path) as fresh:
            make(fresh)
    return path
