"""Ways to run LivePortrait's networks for one frame, measured side by side.

All of them run our networks, which fold constant norms into convolutions and sample in float32. The official networks
do neither, so the figures of the official ways are too good rather than too bad.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import cast

import torch
from torch import Tensor

from pipeline.bench.device_timer import DeviceTimer
from pipeline.bench.known_driver import DrivenPortrait
from pipeline.bench.roofline import tf32
from pipeline.core.animator import DrivingFrame
from pipeline.core.timing import Stopwatch
from pipeline.imaging.image_quality import psnr
from pipeline.liveportrait.animator import LivePortrait
from pipeline.liveportrait.backend import Backend
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.crop import DRIVING, face_box
from pipeline.liveportrait.driven_keypoints import SourcePortrait
from pipeline.liveportrait.landmarks import mesh_outline
from pipeline.liveportrait.pixels import CropRequest

Milliseconds = Mapping[str, Mapping[str, float]]
"""p50, p95 and p99, by the name of what was timed."""

Step = Callable[[], None]
"""Called after each round of measurements."""

Mark = Callable[[str], None]
"""Called with the name of what was launched since the last call: "M", "W" and "G" (roofline.WORK), or "W+G"."""


@dataclass(frozen=True, eq=False)
class NetworkInputs:
    """A portrait and the driving frames, as the networks read them: float32, on the device."""

    feature: Tensor  # (1, 32, 16, 64, 64) appearance of the portrait
    source: Tensor  # (1, 21, 3) keypoints of the portrait
    driving: tuple[Tensor, ...]  # (1, 3, 256, 256) for each frame, in 0..1
    driven: tuple[Tensor, ...]  # (1, 21, 3) for each frame: where the keypoints go


Draw = Callable[[NetworkInputs, int, Mark], Tensor]
"""Draws the frame of this number: (1, 3, 512, 512) about 0..1, valid until the next call."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """One way to run the networks."""

    name: str
    about: str
    kind: str  # of numbers: a name in roofline.DTYPES
    make: Callable[[], Draw]
    spent: float = 0.0  # seconds that were already spent on making it


@dataclass(frozen=True)
class Measured:
    """The figures of one way to run the networks."""

    name: str
    about: str
    kind: str  # of numbers: a name in roofline.DTYPES
    reason: str | None  # why it could not run; the other figures are then empty
    ready_s: float  # from nothing to the first picture, with compilation; in no other figure
    ms: Milliseconds  # by network, and "frame" for all of them
    psnr_db: float | None  # against the reference's pictures; None if they are equal


def baselines(load: Callable[[], Networks], device: torch.device) -> Iterator[Baseline]:
    """Yield plain float32 first, as the reference for pictures, then the official ways.

    `load` returns new networks in float32.
    """
    half, kind = (torch.float16, "fp16") if device.type == "cuda" else (torch.bfloat16, "bf16")
    name = kind.upper()

    def fresh(warp: Callable[[], AbstractContextManager[object]]) -> Callable[[], Draw]:
        return lambda: _apart(load().to(device), torch.float32, warp)

    yield Baseline("eager FP32", "one kernel after another, without TF32", "fp32", fresh(partial(tf32, False)))
    if device.type == "cuda":
        about = "the same with PyTorch's default of TF32 convolutions"
        yield Baseline("eager FP32, TF32 convolutions", about, "tf32", fresh(nullcontext))
    autocast = partial(torch.autocast, device.type, half)
    yield Baseline(f"autocast {name}", "as the official program runs", kind, fresh(autocast))
    about = f"{name} weights, each network by torch.compile(mode='max-autotune'), as the official speed test runs"
    yield Baseline(f"compiled {name}", about, kind, lambda: _compiled(load().to(device, half), half))


def our_backend(backend: Backend, spent: float) -> Baseline:
    """Return a backend that was warmed up in `spent` seconds, as one more way."""
    kinds = {torch.float16: "fp16", torch.bfloat16: "bf16"}
    kind = kinds.get(backend.dtype, "tf32" if backend.device.type == "cuda" else "fp32")
    about = f"this project's backend {backend.name}"
    return Baseline(f"--backend {backend.name}, {kind.upper()}", about, kind, lambda: _whole(backend), spent)


def _apart(networks: Networks, dtype: torch.dtype, around: Callable[[], AbstractContextManager[object]]) -> Draw:
    motion, warping, generator = networks.motion, networks.warping, networks.generator

    def draw(inputs: NetworkInputs, frame: int, mark: Mark) -> Tensor:
        with around():
            motion(inputs.driving[frame].to(dtype))
            mark("M")
            warped = warping(inputs.feature.to(dtype), inputs.driven[frame], inputs.source).feature
            mark("W")
            picture: Tensor = generator(warped)
            mark("G")
        return picture

    return draw


def _compiled(networks: Networks, dtype: torch.dtype) -> Draw:
    for network in (networks.motion.to(dtype), networks.warping, networks.generator):
        network.compile(mode="max-autotune")
    draw = _apart(networks, dtype, nullcontext)

    def next_step(inputs: NetworkInputs, frame: int, mark: Mark) -> Tensor:
        if inputs.feature.is_cuda:  # the graphs may overwrite the frame before
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return draw(inputs, frame, mark)

    return next_step


def _whole(backend: Backend) -> Draw:
    source = lru_cache(1)(lambda inputs: backend.prepare_source(inputs.feature, inputs.source))

    def draw(inputs: NetworkInputs, frame: int, mark: Mark) -> Tensor:
        portrait = source(inputs)
        backend.motion(inputs.driving[frame])
        mark("M")
        picture = backend.draw([portrait], inputs.driven[frame])
        mark("W+G")
        return picture

    return draw


def network_inputs(animator: LivePortrait, puppet: DrivenPortrait, frames: Sequence[DrivingFrame]) -> NetworkInputs:
    """Return what the networks read when these frames move the portrait."""
    portrait, device = cast(SourcePortrait, puppet.portrait), animator.backend.device
    views = [
        CropRequest(f.picture, f.planes, face_box(mesh_outline(f.face), DRIVING).matrix()) for f in frames if f.face
    ]
    motions = [motion for frame in frames for motion in animator.read_motion([frame]) if motion]
    return NetworkInputs(
        feature=portrait.feature,
        source=portrait.keypoints.to(device),
        driving=tuple(animator.pixels.upload_crops([view]) for view in views),
        driven=tuple(animator.drive(puppet.cue(motion)).keypoints.to(device) for motion in motions),
    )


@torch.inference_mode()
def side_by_side(
    baselines: Sequence[Baseline], inputs: NetworkInputs, device: torch.device, rounds: int, step: Step
) -> list[Measured]:
    """Let all of them draw a frame in turn, again and again, so that changes of the machine's speed affect all alike.

    The first one is the reference for pictures. An error of another one becomes its `reason`.
    """
    torch.backends.cudnn.benchmark = True  # as in the official program
    runs = [_NetworkRun(baseline, inputs, device) for baseline in baselines]
    runs[0].begin()
    for run in runs[1:]:
        run.attempt(run.begin)
    for number in range(rounds):
        for run in runs:
            run.attempt(partial(run.draw, number % len(inputs.driving)))
        step()
    return [run.measured(runs[0]) for run in runs]


class _NetworkRun:
    """One way while it is measured."""

    def __init__(self, baseline: Baseline, inputs: NetworkInputs, device: torch.device) -> None:
        self._baseline, self._inputs, self._device = baseline, inputs, device
        self._watch = Stopwatch()
        self._reason: str | None = None
        self._ready = 0.0
        self._pictures: list[Tensor] = []

    def attempt(self, action: Callable[[], None]) -> None:
        """Call `action`, unless something failed before."""
        if self._reason is None:
            try:
                action()
            except Exception as error:
                self._reason = in_short(error)

    def begin(self) -> None:
        """Make the way ready, and keep its picture of each frame."""
        start = time.perf_counter()
        self._draw: Draw = self._baseline.make()
        for frame in range(len(self._inputs.driving)):
            picture = self._draw(self._inputs, frame, lambda _: None).float().clamp(0, 1).cpu()
            self._ready = self._ready or self._baseline.spent + time.perf_counter() - start
            if not picture.isfinite().all():
                raise ArithmeticError("some of the pixels are not numbers")
            self._pictures.append(picture)

    def draw(self, frame: int) -> None:
        """Draw a frame and time each network."""
        timer = DeviceTimer(self._device)
        self._draw(self._inputs, frame, timer.mark)
        seconds = timer.seconds()
        for name, each in (seconds | {"frame": sum(seconds.values())}).items():
            self._watch.add(name, each)

    def measured(self, reference: _NetworkRun) -> Measured:
        way, times, quality = self._baseline, {}, None
        if self._reason is None:
            times = self._watch.percentiles()
            quality = psnr(torch.stack(self._pictures), torch.stack(reference._pictures), peak=1)
        quality = quality and round(quality, 2)
        return Measured(way.name, way.about, way.kind, self._reason, round(self._ready, 2), times, quality)


def in_short(error: Exception) -> str:
    """Return the name of an error and the first line of its text."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".removesuffix(": ")
