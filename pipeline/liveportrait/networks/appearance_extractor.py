"""F: the appearance feature extractor of LivePortrait (Guo et al., arXiv:2407.03168)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from pipeline.liveportrait.networks.layers import ConvBlock2d, DownBlock2d

CHANNELS, DEPTH = 32, 16


class ResBlock3d(nn.Module):
    """A pre-activation residual block (He et al., arXiv:1603.05027); only its second norm follows a convolution."""

    folds: ClassVar = (("conv1", "norm2"),)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv1(functional.relu(self.norm1(x)))
        y = self.conv2(functional.relu(self.norm2(y)))
        return x + y


class AppearanceFeatureExtractor(nn.Module):
    """Turns a picture into a feature volume that the warping network can deform."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ConvBlock2d(3, 64)
        self.down_blocks = nn.ModuleList([DownBlock2d(64, 128), DownBlock2d(128, 256)])
        self.second = nn.Conv2d(256, CHANNELS * DEPTH, 1)
        self.resblocks_3d = nn.Sequential()
        for index in range(6):
            self.resblocks_3d.add_module(f"3dr{index}", ResBlock3d(CHANNELS))

    def forward(self, picture: Tensor) -> Tensor:
        """Extract features (B, 32, 16, 64, 64), channels to width, from RGB (B, 3, 256, 256) in 0..1."""
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)
        features: Tensor = self.resblocks_3d(self.second(x).unflatten(1, (CHANNELS, DEPTH)))
        return features
