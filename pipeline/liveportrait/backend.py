"""The interface of backends: ways to run LivePortrait's networks. The networks are plain; backends make them fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pipeline.core.animator import Progress
from pipeline.liveportrait.networks.motion_extractor import RawMotion


class BackendError(RuntimeError):
    """A backend cannot run here; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class PreparedSource:
    """What is computed from a portrait alone: made once, shared by its frames and sessions. Backends extend it."""

    feature: Tensor  # (1, 32, 16, 64, 64) float32 appearance, on the backend's device
    keypoints: Tensor  # (1, 21, 3) float32, on the backend's device


class Backend(Protocol):
    """Runs the networks on one device, in one thread at a time.

    No method waits for the device: results are valid in the order of its stream, until the next call.
    """

    name: str
    device: torch.device
    dtype: torch.dtype  # of the networks that draw every frame

    def warm_up(self, progress: Progress) -> None:
        """Do what would make the first calls slow: compile, capture, choose. `progress` counts steps."""

    def appearance(self, picture: Tensor) -> Tensor:
        """Extract features (1, 32, 16, 64, 64) float32 from a crop (1, 3, 256, 256) float32 in 0..1."""

    def motion(self, pictures: Tensor) -> RawMotion:
        """Extract raw motion, float32, from crops (B, 3, 256, 256) float32 in 0..1."""

    def prepare_source(self, feature: Tensor, keypoints: Tensor) -> PreparedSource:
        """Compute what `draw` needs of a portrait with these features (1, 32, 16, 64, 64) and keypoints (1, 21, 3)."""

    def draw(self, sources: Sequence[PreparedSource], driven: Tensor) -> Tensor:
        """Draw each portrait with its keypoints at `driven` (B, 21, 3) float32: RGB (B, 3, 512, 512), about 0..1."""
