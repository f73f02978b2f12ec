"""Put the animated crop back into the full picture, on the device that drew it."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.liveportrait.crop import CROP_SIZE, Matrix

FEATHER = 16  # pixels at the crop's edge over which it fades


class Paster:
    """Puts crops back into a source picture; made once per portrait, its tensors when first used."""

    def __init__(self, picture: NDArray[np.uint8], matrix: Matrix, device: torch.device | str) -> None:
        """Take a picture (H, W, 3) uint8 and the map from the crop of 512 pixels to it."""
        self.picture, self._device = picture, device
        self.to_crop = np.linalg.inv(matrix).astype(np.float64)

    def __call__(self, crops: Tensor) -> Tensor:
        """Return pictures (B, H, W, 3) uint8 with the crops (B, 3, 512, 512) in 0..1 put back."""
        warped = _warp(to_pixels(crops).permute(0, 3, 1, 2).float(), self._grid).round()
        return (self.mask * warped + self._rest).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    @functools.cached_property
    def mask(self) -> Tensor:
        """Return how much of the crop each pixel shows: (1, 1, H, W) float32 in 0..1."""
        return _warp(feather_mask().to(self._device), self._grid).round() / 255

    @functools.cached_property
    def _rest(self) -> Tensor:
        return (1 - self.mask) * torch.tensor(self.picture, device=self._device).permute(2, 0, 1).float()

    @functools.cached_property
    def _grid(self) -> Tensor:
        return _grid(self.to_crop, *self.picture.shape[:2]).to(self._device)


def to_pixels(picture: Tensor) -> Tensor:
    """Convert (B, 3, H, W), about 0..1, to (B, H, W, 3) uint8; truncated, as in the official pipeline."""
    return (picture.float().clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def to_input(picture: NDArray[np.uint8], device: torch.device | str) -> Tensor:
    """Convert a picture (H, W, 3) uint8 to (1, 3, H, W) float32 in 0..1."""
    return torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float() / 255


def feather_mask() -> Tensor:
    """Return whole numbers from 0 outside to 255 inside, (1, 1, 512, 512) float32; round at the corners."""
    index = torch.arange(CROP_SIZE, dtype=torch.float64)
    inset = torch.maximum((FEATHER - index).clamp(min=0), index - (CROP_SIZE - FEATHER))
    distance = torch.hypot(inset[:, None], inset[None]) / FEATHER
    return (255 * (1 - distance).clamp(0, 1)).floor().float()[None, None]


def _grid(matrix: Matrix, height: int, width: int) -> Tensor:
    """Return where in the crop each pixel of the picture lies, (1, H, W, 2): -1..1 over the crop's pixel centres."""
    y, x = np.mgrid[:height, :width]
    points = np.stack((x, y), -1) @ matrix[:2, :2].T + matrix[:2, 2]
    return torch.from_numpy(points * 2 / (CROP_SIZE - 1) - 1)[None].float()


def _warp(crops: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(crops, grid.expand(len(crops), -1, -1, -1), align_corners=True)
