"""The figures of a comparison, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipeline.core.animator import Picture

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
