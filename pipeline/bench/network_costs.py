"""Measure each of LivePortrait's networks: time, memory, and error in 16 bits."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.bench.device_timer import time_on_device
from pipeline.bench.host import machine
from pipeline.bench.memory import peak, restart_peak
from pipeline.bench.precision import PrecisionError, precision_errors
from pipeline.bench.tables import markdown_table
from pipeline.core.animator import Picture
from pipeline.face.find import find_faces
from pipeline.imaging.source_picture import choose_face
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.crop import SOURCE, cut, face_box, halved
from pipeline.liveportrait.keypoint_motion import decode
from pipeline.liveportrait.landmarks import mesh_outline
from pipeline.liveportrait.paste import to_input
from pipeline.models.face_models import FaceModels

RUNS = 3


@dataclass(frozen=True)
class Cost:
    """The cost of one network for one picture."""

    network: str
    dtype: str
    parameters: int
    seconds: float  # the least of three runs: other work on the machine only adds
    peak_mb: float | None  # above what was in use before it ran; None if the system does not report it

    def cells(self) -> list[str]:
        """Return the row of a table."""
        peak = "unknown" if self.peak_mb is None else f"{self.peak_mb:.0f}"
        return [self.network, self.dtype, f"{self.parameters:,}", f"{self.seconds:.3f}", peak]


@dataclass(frozen=True)
class NetworkReport:
    """Everything that was measured."""

    machine: dict[str, str]
    device: str
    weights: str
    costs: tuple[Cost, ...]
    errors: dict[str, tuple[PrecisionError, ...]]  # by dtype, against float32

    def table(self) -> str:
        """Return the report as text."""
        lines = [f"{name}: {text}" for name, text in self.machine.items()]
        lines += [f"LivePortrait on {self.device} ({self.weights})", ""]
        lines += markdown_table(("network", "type", "parameters", "s", "peak MB"), map(Cost.cells, self.costs))
        for dtype, errors in self.errors.items():
            heads = (f"{dtype} against float32", "largest", "mean", "of at most", "PSNR dB")
            lines += ["", *markdown_table(heads, map(PrecisionError.cells, errors))]
        return "\n".join(lines)


@torch.inference_mode()
def measure(
    networks: Networks, portrait: Picture, models: FaceModels, device: torch.device, about: str
) -> NetworkReport:
    """Measure float32 `networks` on `device` with a portrait and its face turned; takes about a minute on a CPU."""
    half = (torch.bfloat16,) if device.type == "cpu" else (torch.float16, torch.bfloat16)
    source, driving = _views(portrait, models, device)
    costs = [cost for dtype in (torch.float32, *half) for cost in _costs(networks, source, dtype)]
    errors = {_name(dtype): tuple(precision_errors(networks, source, driving, dtype)) for dtype in half}
    return NetworkReport(machine(), _device_name(device), about, tuple(costs), errors)


def _views(portrait: Picture, models: FaceModels, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (1, 3, 256, 256) of the portrait's crop, and of one in which the same head is larger and tilted."""
    face, _ = choose_face(portrait, find_faces(portrait, models))
    box = face_box(mesh_outline(face), SOURCE)
    tilted = replace(box, side=0.9 * box.side, angle=box.angle + np.radians(8))
    still, moved = (to_input(halved(cut(portrait, view.matrix())), device) for view in (box, tilted))
    return still, moved


def _costs(networks: Networks, picture: Tensor, dtype: torch.dtype) -> Iterator[Cost]:
    points = decode(networks.motion(picture)).transformed()
    feature = networks.appearance(picture)
    warped = networks.warping(feature, points, points).feature
    stitched = torch.cat((points.flatten(1), points.flatten(1)), 1).cpu()

    def cost(name: str, network: nn.Module, *inputs: Tensor) -> Cost:
        used = network if dtype == torch.float32 else copy.deepcopy(network).to(dtype)
        first, *others = inputs
        seconds, peak = _measured(lambda: used(first.to(dtype), *others), picture.device)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return Cost(name, _name(dtype), parameters, seconds, peak)

    yield cost("appearance extractor", networks.appearance, picture)
    yield cost("motion extractor", networks.motion, picture)
    yield cost("stitching", networks.stitching, stitched)
    yield cost("warping", networks.warping, feature, points, points)
    yield cost("generator", networks.generator, warped)


def _measured(run: Callable[[], object], device: torch.device) -> tuple[float, float | None]:
    before = restart_peak(device)
    run()  # the first run is slow
    seconds = min(time_on_device(device, run) for _ in range(RUNS))
    after = peak(device)
    return seconds, None if before is None or after is None else (after - before) / 1e6


def _device_name(device: torch.device) -> str:
    threads = f"CPU, {torch.get_num_threads()} threads"
    return torch.cuda.get_device_name(device) if device.type == "cuda" else threads


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
