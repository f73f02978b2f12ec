"""What a comparison found, in plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipeline.core.animator import Picture

NOT_USED = "Not part of the settings that `serve` uses here, so there is nothing to take out of them."
"""Why an optimization has no figures "without"."""

Status = Literal["measured", "unavailable"]


@dataclass(frozen=True)
class Figures:
    """Of one setup. None: not measured, or there is none; a PSNR of None with an SSIM of 1 says that no bit differs."""

    ms_p50: float | None = None  # of a frame
    ms_p95: float | None = None
    speedup: float | None = None  # over what it is compared with, measured in turns: the original, or the optimized
    memory_mb: float | None = None  # while it draws, all that it holds included: of the GPU where there is one
    psnr_db: float | None = None  # this and what follows: of its pictures against the float32 original's
    ssim: float | None = None
    keypoint_error: float | None = None  # mean distance of the 21 driven keypoints along an axis; 1 is half the crop
    landmark_error: float | None = None  # in the pictures, percent of the eyes' distance; None where no face is seen


@dataclass(frozen=True)
class Ablation:
    """One optimization: alone on top of the original, and taken out of the optimized settings."""

    name: str
    status: Status
    reason: str | None  # why it is not available; or what there is to say of what was measured
    alone: Figures = Figures()
    without: Figures = Figures()


@dataclass(frozen=True)
class Metric:
    """A line of the headline."""

    metric: str
    original: float | None
    optimized: float | None
    improvement: float | None  # percent: less time or memory, more frames a second


@dataclass(frozen=True, eq=False)
class SamplePicture:
    """One frame, drawn both ways."""

    original: Picture
    optimized: Picture


@dataclass(frozen=True)
class Comparison:
    """Everything."""

    machine: Mapping[str, str]
    weights: str
    command: str
    headline: Sequence[Metric]
    ablation: Sequence[Ablation]
    notes: Sequence[str] = ()  # what else a reader should know
    samples: Sequence[SamplePicture] = field(default=(), repr=False)

    def as_json(self) -> dict[str, Any]:
        """Without the pictures."""
        return {
            "machine": dict(self.machine),
            "weights": self.weights,
            "command": self.command,
            "headline": [asdict(metric) for metric in self.headline],
            "ablation": [asdict(row) for row in self.ablation],
        }
