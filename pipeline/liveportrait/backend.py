"""What a backend is: a way to execute LivePortrait's networks. The networks are plain; speed lives behind this seam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pipeline.core.animator import Progress
from pipeline.liveportrait.networks.motion_extractor import RawMotion


class BackendError(RuntimeError):
    """A backend that cannot run here; the text says why and what to do."""


@dataclass(frozen=True, eq=False)
class PreparedSource:
    """What follows from a portrait alone: made once, shared by all its frames and sessions. Backends extend it."""

    feature: Tensor  # (1, 32, 16, 64, 64) float32 appearance, on the backend's device
    keypoints: Tensor  # (1, 21, 3) float32, on the backend's device


class Backend(Protocol):
    """Executes the networks on one device; for one thread at a time.

    Nothing in here waits for the device: what comes back is valid in the order of its stream, until the next call.
    """

    name: str
    device: torch.device
    dtype: torch.dtype  # of what draws every frame

    def warm_up(self, progress: Progress) -> None:
        """Do once what would make the first calls slow: compile, capture, choose. Progress counts steps."""

    def appearance(self, picture: Tensor) -> Tensor:
        """(1, 3, 256, 256) float32 in 0..1 to features (1, 32, 16, 64, 64) float32."""

    def motion(self, pictures: Tensor) -> RawMotion:
        """(B, 3, 256, 256) float32 in 0..1 to what the heads say, float32."""

    def prepare_source(self, feature: Tensor, keypoints: Tensor) -> PreparedSource:
        """What `draw` needs of a portrait, from `appearance`'s (1, 32, 16, 64, 64) and its keypoints (1, 21, 3)."""

    def draw(self, sources: Sequence[PreparedSource], driven: Tensor) -> Tensor:
        """Each portrait with its keypoints at `driven` (B, 21, 3) float32: RGB (B, 3, 512, 512) about 0..1."""
