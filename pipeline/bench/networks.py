"""Run LivePortrait's networks in several ways side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor

from pipeline.bench.baselines import Baseline, Draw, NetworkInputs
from pipeline.bench.device_timer import DeviceTimer
from pipeline.bench.known_driver import DrivenPortrait
from pipeline.core.animator import DrivingFrame
from pipeline.core.timing import Stopwatch
from pipeline.imaging.image_quality import psnr
from pipeline.liveportrait.animator import LivePortrait
from pipeline.liveportrait.crop import DRIVING, face_box
from pipeline.liveportrait.driven_keypoints import SourcePortrait
from pipeline.liveportrait.landmarks import mesh_outline
from pipeline.liveportrait.pixels import CropRequest

Milliseconds = Mapping[str, Mapping[str, float]]
"""p50, p95 and p99, by the name of what was timed."""

Step = Callable[[], None]
"""Called after each round of measurements."""


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
        baseline = self._baseline
        found = None if self._reason else psnr(torch.stack(self._pictures), torch.stack(reference._pictures), peak=1)
        times = {} if self._reason else self._watch.percentiles()
        return Measured(
            baseline.name,
            baseline.about,
            baseline.kind,
            self._reason,
            round(self._ready, 2),
            times,
            found and round(found, 2),
        )


def in_short(error: Exception) -> str:
    """Return the name of an error and the first line of its text."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".removesuffix(": ")
