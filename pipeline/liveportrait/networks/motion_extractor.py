"""M: LivePortrait's motion extractor (Guo et al., arXiv:2407.03168), a ConvNeXt V2 (Woo et al., arXiv:2301.00808)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

DEPTHS, WIDTHS = (3, 3, 9, 3), (96, 192, 384, 768)
KEYPOINTS, POSE_BINS = 21, 66
POINTS = 3 * KEYPOINTS
HEADS = {"kp": POINTS, "scale": 1, "pitch": POSE_BINS, "yaw": POSE_BINS, "roll": POSE_BINS, "t": 3, "exp": POINTS}


class RawMotion(NamedTuple):
    """The network's outputs; keypoint_motion.decode turns them into a motion."""

    kp: Tensor  # (B, 21, 3) canonical keypoints
    scale: Tensor  # (B, 1)
    pitch: Tensor  # (B, 66) logits of bins of 3 degrees, as yaw and roll
    yaw: Tensor
    roll: Tensor
    t: Tensor  # (B, 3)
    exp: Tensor  # (B, 21, 3)

    def packed(self) -> Tensor:
        """Join all into one tensor (B, 328), for one copy between devices."""
        return torch.cat([value.flatten(1) for value in self], 1)

    @classmethod
    def unpacked(cls, values: Tensor) -> RawMotion:
        """Split what `packed` made."""
        parts = dict(zip(cls._fields, torch.split(values, [HEADS[name] for name in cls._fields], 1), strict=True))
        return cls(**parts | {name: parts[name].reshape(-1, KEYPOINTS, 3) for name in ("kp", "exp")})


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GlobalResponseNorm(nn.Module):
    """Scales each channel of (B, H, W, C) by its energy over the whole map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        energy: Tensor = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        return self.gamma * (x * (energy / (energy.mean(-1, keepdim=True) + 1e-6))) + self.beta + x


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, then a two-layer perceptron on every pixel, around a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = GlobalResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.pwconv2(self.grn(functional.gelu(self.pwconv1(y))))
        return x + y.permute(0, 3, 1, 2)


def _downsample(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(LayerNorm2d(inputs, eps=1e-6), nn.Conv2d(inputs, outputs, 2, stride=2))


class ConvNeXtV2(nn.Module):
    """The tiny ConvNeXt V2 with one linear head per quantity."""

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 4, stride=4), LayerNorm2d(WIDTHS[0], eps=1e-6))
        between = [_downsample(inputs, outputs) for inputs, outputs in pairwise(WIDTHS)]
        self.downsample_layers = nn.ModuleList([stem, *between])
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width) for _ in range(depth)))
            for depth, width in zip(DEPTHS, WIDTHS, strict=True)
        )
        self.norm = nn.LayerNorm(WIDTHS[-1], eps=1e-6)
        for name, outputs in HEADS.items():
            self.add_module(f"fc_{name}", nn.Linear(WIDTHS[-1], outputs))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        x = self.norm(x.mean((2, 3)))
        return {name: self.get_submodule(f"fc_{name}")(x) for name in HEADS}


class MotionExtractor(nn.Module):
    """Extracts the motion from a picture of a face."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = ConvNeXtV2()

    def forward(self, picture: Tensor) -> RawMotion:
        """Extract raw motion from RGB (B, 3, 256, 256) in 0..1."""
        raw = self.detector(picture)
        points = {name: raw[name].unflatten(1, (KEYPOINTS, 3)) for name in ("kp", "exp")}
        return RawMotion(**{**raw, **points})
