"""Run the networks as they are: the reference for every other backend."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.core.animator import Progress
from pipeline.liveportrait.backend import PreparedSource
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.networks.motion_extractor import RawMotion


class Eager:
    """Runs one kernel after the other, by PyTorch."""

    name = "eager"

    def __init__(self, networks: Networks, device: torch.device, dtype: torch.dtype) -> None:
        """Take over the networks: move them, and convert those that draw to `dtype`."""
        self.device, self.dtype = device, dtype
        self._networks = networks.to(device, dtype)

    def warm_up(self, progress: Progress) -> None:
        """Draw one empty frame, since the first one chooses and loads kernels."""
        points = torch.zeros(1, 21, 3, device=self.device)
        self.motion(torch.zeros(1, 3, 256, 256, device=self.device))
        self.draw([self.prepare_source(torch.zeros(1, 32, 16, 64, 64, device=self.device), points)], points)
        progress(1, 1)

    @torch.inference_mode()
    def appearance(self, picture: Tensor) -> Tensor:
        feature: Tensor = self._networks.appearance(picture)
        return feature

    @torch.inference_mode()
    def motion(self, pictures: Tensor) -> RawMotion:
        raw: RawMotion = self._networks.motion(pictures)
        return raw

    def prepare_source(self, feature: Tensor, keypoints: Tensor) -> PreparedSource:
        return PreparedSource(feature, keypoints)

    @torch.inference_mode()
    def draw(self, sources: Sequence[PreparedSource], driven: Tensor) -> Tensor:
        features = torch.cat([source.feature for source in sources]).to(self.dtype)
        keypoints = torch.cat([source.keypoints for source in sources])
        pictures: Tensor = self._networks.generator(self._networks.warping(features, driven, keypoints).feature)
        return pictures
