"""W: the warping network of LivePortrait (Guo et al., arXiv:2407.03168) with the dense motion network of face-vid2vid
(Wang et al., arXiv:2011.15126): sparse keypoint motion becomes a deformation of the feature volume."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.liveportrait.networks.appearance_extractor import CHANNELS, DEPTH
from pipeline.liveportrait.networks.layers import ConvBlock2d, DownBlock3d, UpBlock3d, sample
from pipeline.liveportrait.networks.motion_extractor import KEYPOINTS

COMPRESSED = 4
CANDIDATES = KEYPOINTS + 1  # "nothing moves" is the first
HEATMAP_VARIANCE = 0.01
HOURGLASS_INPUTS = CANDIDATES * (COMPRESSED + 1)


def identity_grid(like: Tensor) -> Tensor:
    """Return xyz of the samples of `like` (..., D, H, W): (D, H, W, 3) float32, -1 first on an axis, 1 last."""
    axes = [torch.linspace(-1, 1, size, device=like.device) for size in like.shape[-3:]]
    z, y, x = torch.meshgrid(axes, indexing="ij")
    return torch.stack((x, y, z), -1)


def candidate_shifts(kp_driving: Tensor, kp_source: Tensor) -> Tensor:
    """Return from where, relative to itself, a driven point that follows each keypoint takes its value, (B, 22, 3)."""
    return functional.pad(kp_source - kp_driving, (0, 0, 1, 0))


def sparse_motions(grid: Tensor, shifts: Tensor) -> Tensor:
    """Return for every candidate the place that each sample is taken from, (B, 22, D, H, W, 3)."""
    return grid + shifts[:, :, None, None, None]


def deform(feature: Tensor, motions: Tensor) -> Tensor:
    """Deform `feature` (B, C, D, H, W) as every candidate would: (B, 22, C, D, H, W)."""
    candidates = sample(feature, motions.flatten(1, 2))
    batch, channels, _, *size = candidates.shape
    return candidates.reshape(batch, channels, CANDIDATES, -1, *size).transpose(1, 2)


def heatmaps(grid: Tensor, kp_driving: Tensor, kp_source: Tensor) -> Tensor:
    """Return Gaussians at the driving keypoints minus those at the source's, (B, 22, 1, D, H, W); the first is zero."""
    driving, source = (_gaussians(grid, keypoints) for keypoints in (kp_driving, kp_source))
    return functional.pad(driving - source, (0, 0, 0, 0, 0, 0, 1, 0))[:, :, None]


def _gaussians(grid: Tensor, keypoints: Tensor) -> Tensor:
    squared = (grid - keypoints[:, :, None, None, None]).square().sum(-1)
    return torch.exp(squared / (-2 * HEATMAP_VARIANCE))


class Encoder(nn.Module):
    """The first half of the hourglass; returns the result of every level."""

    def __init__(self) -> None:
        super().__init__()
        widths = (HOURGLASS_INPUTS, 64, 128, 256, 512, 1024)
        blocks = [DownBlock3d(inputs, outputs) for inputs, outputs in pairwise(widths)]
        self.down_blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class Decoder(nn.Module):
    """The second half; each block's result is joined with the encoder's of that size."""

    folds: ClassVar = (("conv", "norm"),)

    def __init__(self) -> None:
        super().__init__()
        widths = ((1024, 512), (1024, 256), (512, 128), (256, 64), (128, 32))
        self.up_blocks = nn.ModuleList(UpBlock3d(inputs, outputs) for inputs, outputs in widths)
        self.channels = widths[-1][1] + HOURGLASS_INPUTS
        self.conv = nn.Conv3d(self.channels, self.channels, 3, padding=1)
        self.norm = nn.BatchNorm3d(self.channels)

    def forward(self, levels: list[Tensor]) -> Tensor:
        x = levels[-1]
        for block, skip in zip(self.up_blocks, reversed(levels[:-1]), strict=True):
            x = torch.cat((block(x), skip), 1)
        return functional.relu(self.norm(self.conv(x)))


class Hourglass(nn.Module):
    """U-Net over (B, 110, 16, 64, 64) that halves height and width five times."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.decoder(self.encoder(x))
        return features


class DenseMotion(NamedTuple):
    """Where every sample of the driven volume comes from, and how visible it is."""

    deformation: Tensor  # (B, 16, 64, 64, 3) float32, xyz
    occlusion: Tensor  # (B, 1, 64, 64) in 0..1, 1 is visible


class DenseMotionNetwork(nn.Module):
    """Decides for every sample which keypoints it follows."""

    folds: ClassVar = (("compress", "norm"),)

    def __init__(self) -> None:
        super().__init__()
        self.hourglass = Hourglass()
        channels = self.hourglass.decoder.channels
        self.mask = nn.Conv3d(channels, CANDIDATES, 7, padding=3)
        self.compress = nn.Conv3d(CHANNELS, COMPRESSED, 1)
        self.norm = nn.BatchNorm3d(COMPRESSED)
        self.occlusion = nn.Conv2d(channels * DEPTH, 1, 7, padding=3)

    def forward(self, feature: Tensor, kp_driving: Tensor, kp_source: Tensor) -> DenseMotion:
        """Compute the motion of a feature (B, 32, 16, 64, 64) from keypoints (B, 21, 3) float32."""
        grid, shifts = identity_grid(feature), candidate_shifts(kp_driving, kp_source)
        compressed = functional.relu(self.norm(self.compress(feature)))
        deformed = deform(compressed, sparse_motions(grid, shifts))
        heat = heatmaps(grid, kp_driving, kp_source).to(deformed.dtype)
        prediction = self.hourglass(torch.cat((heat, deformed), 2).flatten(1, 2))
        mask = self.mask(prediction).float().softmax(1)
        deformation = grid + torch.einsum("bkdhw,bkc->bdhwc", mask, shifts)
        return DenseMotion(deformation, torch.sigmoid(self.occlusion(prediction.flatten(1, 2))))


class Warped(NamedTuple):
    """The warped appearance, and the motion that warped it."""

    feature: Tensor  # (B, 256, 64, 64)
    deformation: Tensor  # as in DenseMotion
    occlusion: Tensor


class WarpingNetwork(nn.Module):
    """Moves the source's appearance features to the driving keypoints."""

    def __init__(self) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotionNetwork()
        self.third = ConvBlock2d(CHANNELS * DEPTH, 256, slope=0.01)
        self.fourth = nn.Conv2d(256, 256, 1)

    def forward(self, feature: Tensor, kp_driving: Tensor, kp_source: Tensor) -> Warped:
        """Warp a feature (B, 32, 16, 64, 64) from the source keypoints (B, 21, 3) to the driving ones, float32."""
        motion = self.dense_motion_network(feature, kp_driving, kp_source)
        flat = sample(feature, motion.deformation).flatten(1, 2)
        return Warped(self.fourth(self.third(flat)) * motion.occlusion, *motion)
