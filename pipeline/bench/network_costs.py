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
from pipeline.bench.tables import markdown_table
from pipeline.core.animator import Picture
from pipeline.face.find import find_faces
from pipeline.imaging.image_quality import psnr
from pipeline.imaging.source_picture import choose_face
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.corrections import stitch
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
class PrecisionError:
    """The distance of one result from float32's."""

    result: str
    largest: float  # difference
    mean: float
    span: float  # float32's largest value
    psnr: float | None  # dB, with the span as the peak; None if the results are equal

    def cells(self) -> list[str]:
        """Return the row of a table."""
        quality = "same" if self.psnr is None else f"{self.psnr:.1f}"
        return [self.result, f"{self.largest:.2g}", f"{self.mean:.2g}", f"{self.span:.3g}", quality]


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
    errors = {_name(dtype): _errors(networks, source, driving, dtype) for dtype in half}
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return NetworkReport(machine(), where, about, tuple(costs), errors)


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
        used = network if dtype == torch.float32 else _as(network, dtype)
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


def _errors(networks: Networks, source: Tensor, driving: Tensor, dtype: torch.dtype) -> tuple[PrecisionError, ...]:
    """Compare each network in `dtype`, on the input that float32 gave it; at last the picture after all of them."""
    still, moved = (decode(networks.motion(picture)) for picture in (source, driving))
    x_s = still.transformed()
    x_d = stitch(networks.stitching, x_s.cpu(), moved.transformed().cpu()).to(x_s)
    feature = networks.appearance(source)
    warped = networks.warping(feature, x_d, x_s)
    picture = networks.generator(warped.feature)

    rounded_motion = decode(_as(networks.motion, dtype)(driving.to(dtype)))
    rounded_feature = _as(networks.appearance, dtype)(source.to(dtype))
    warping, generator = _as(networks.warping, dtype), _as(networks.generator, dtype)
    rounded = warping(feature.to(dtype), x_d, x_s)
    return (
        _error("motion extractor: keypoints", rounded_motion.transformed(), moved.transformed()),
        _error("motion extractor: rotation", rounded_motion.rotation, moved.rotation),
        _error("appearance extractor", rounded_feature, feature),
        _error("warping: deformation", rounded.deformation, warped.deformation),
        _error("warping: feature", rounded.feature, warped.feature),
        _error("generator: picture", generator(warped.feature.to(dtype)), picture),
        _error("all: picture", generator(warping(rounded_feature, x_d, x_s).feature), picture),
    )


def _as(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    return copy.deepcopy(network).to(dtype)


def _error(name: str, found: Tensor, exact: Tensor) -> PrecisionError:
    difference, span = (found.float() - exact).abs(), exact.abs().max()
    quality = psnr(found.float().cpu(), exact.cpu(), peak=span.item())
    return PrecisionError(name, difference.max().item(), difference.mean().item(), span.item(), quality)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
