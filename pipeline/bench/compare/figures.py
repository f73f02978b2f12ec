"""The figures of a comparison, as plain numbers, and how they are computed from trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from pipeline.bench.compare.inputs import Inputs
from pipeline.bench.compare.turns import Trial
from pipeline.core.animator import Picture
from pipeline.core.timing import percentiles
from pipeline.imaging.image_quality import landmark_error, psnr, ssim

NOT_USED = "`serve` does not use it on this machine, so it cannot be left out."
"""Why an optimization has no figures `without`."""

Status = Literal["measured", "unavailable"]


@dataclass(frozen=True)
class Figures:
    """Figures of one setup; None if not measured. A PSNR of None with an SSIM of 1 means equal pictures."""

    ms_p50: float | None = None  # for a frame
    ms_p95: float | None = None
    speedup: float | None = None  # over the original or the optimized settings, in turns
    memory_mb: float | None = None  # the most while it draws, on the GPU if there is one
    psnr_db: float | None = None  # this and the rest: against the pictures of the float32 original
    ssim: float | None = None
    keypoint_error: float | None = None  # mean distance of the 21 driven keypoints along an axis; 1 is half the crop
    landmark_error: float | None = None  # percent of the eyes' distance; None if no face is seen


@dataclass(frozen=True)
class Ablation:
    """One optimization: alone on top of the original, and taken out of the optimized settings."""

    name: str
    status: Status
    reason: str | None  # why it is not available, or a remark on the figures
    alone: Figures = Figures()
    without: Figures = Figures()


@dataclass(frozen=True)
class Metric:
    """A line of the headline."""

    metric: str
    original: float | None
    optimized: float | None
    improvement: float | None  # percent: less time or memory, more frames a second


@dataclass(frozen=True)
class Comparison:
    """Everything that was measured."""

    machine: Mapping[str, str]
    weights: str
    command: str
    headline: Sequence[Metric]
    ablation: Sequence[Ablation]
    notes: Sequence[str] = ()  # remarks for the reader
    samples: Sequence[tuple[Picture, Picture]] = field(default=(), repr=False)  # frames, original and optimized

    def as_json(self) -> dict[str, Any]:
        """Return everything but the pictures."""
        return {
            "machine": dict(self.machine),
            "weights": self.weights,
            "command": self.command,
            "headline": [asdict(metric) for metric in self.headline],
            "ablation": [asdict(row) for row in self.ablation],
        }


class Judge:
    """Turns trials into figures, by comparing their pictures with the original's."""

    def __init__(self, inputs: Inputs, original: Trial) -> None:
        self._find, self._reference = inputs.find_face, original.shots
        self._on_device = inputs.device.type == "cuda"
        self._faces = {number: inputs.find_face(shot.crop) for number, shot in original.shots.items()}
        self.sees_faces = any(self._faces.values())

    def figures(self, trial: Trial | None) -> Figures:
        """Return the figures of a trial; all are None if there is no trial or it failed."""
        if trial is None or trial.reason:
            return Figures()
        shared = [number for number in trial.shots if number in self._reference]
        found, reference = ([shots[number] for number in shared] for shots in (trial.shots, self._reference))
        pairs = list(zip(found, reference, strict=True))
        memory = trial.memory.device if self._on_device else trial.memory.host
        return Figures(
            ms_p50=_rounded(_percentile(trial.ms, 50), 3),
            ms_p95=_rounded(_percentile(trial.ms, 95), 3),
            speedup=_rounded(_percentile(trial.beside, 50) / _percentile(trial.ms, 50), 3),
            memory_mb=_rounded(memory, 1),
            psnr_db=_rounded(psnr(np.stack([a.crop for a in found]), np.stack([b.crop for b in reference])), 2),
            ssim=_rounded(float(np.mean([ssim(a.crop, b.crop) for a, b in pairs])), 5),
            keypoint_error=_rounded(float(np.mean([np.abs(a.keypoints - b.keypoints) for a, b in pairs])), 7),
            landmark_error=_rounded(self._landmark_error(trial), 3),
        )

    def _landmark_error(self, trial: Trial) -> float | None:
        both = [(self._find(shot.crop), self._faces.get(number)) for number, shot in trial.shots.items()]
        errors = [landmark_error(seen, reference) for seen, reference in both if seen and reference]
        return float(np.mean(errors)) if errors else None


def headline(inputs: Inputs, original: Trial, best: Trial) -> Iterator[Metric]:
    """Yield the original beside the optimized settings, both timed in the same turns."""
    measured = best.reason is None
    before = best.beside if measured else original.ms
    for rank in (50, 95):
        after = _percentile(best.ms, rank) if measured else None
        yield _metric(f"processing time per frame, p{rank} (ms)", _percentile(before, rank), after)
    after = 1000 / _percentile(best.ms, 50) if measured else None
    yield _metric("frames per second", 1000 / _percentile(before, 50), after, more=True)
    yield _metric("peak memory, host (MB)", original.memory.host, best.memory.host)
    yield _metric("peak memory, device (MB)", original.memory.device, best.memory.device)
    yield _metric("time to first frame (s)", original.ready, best.ready if measured else None)
    sizes = [size / 1e6 for size in inputs.disk]
    yield _metric("model size on disk (MB)", sizes[0], sizes[1] if measured else None)


def _metric(name: str, original: float | None, optimized: float | None, more: bool = False) -> Metric:
    gain = None
    if original and optimized is not None:
        gain = 100 * (optimized / original - 1) * (1 if more else -1)
    return Metric(name, _rounded(original, 3), _rounded(optimized, 3), _rounded(gain, 1))


def _percentile(values: Sequence[float], rank: int) -> float:
    return percentiles(values)[f"p{rank}"]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
