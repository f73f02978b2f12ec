"""G: LivePortrait's generator (Guo et al., arXiv:2407.03168), made of SPADE blocks (Park et al., arXiv:1903.07291)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.liveportrait.networks.layers import SpectralConv2d

SEGMENTATION, HIDDEN = 256, 128
MIDDLE_BLOCKS = 6


class Spade(nn.Module):
    """Spatially adaptive normalisation: statistics of the picture itself, scale and shift from a conditioning map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.param_free_norm = nn.InstanceNorm2d(channels)
        self.mlp_shared = nn.Sequential(nn.Conv2d(SEGMENTATION, HIDDEN, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(HIDDEN, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(HIDDEN, channels, 3, padding=1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        hidden = self.mlp_shared(functional.interpolate(condition, size=x.shape[2:]))
        gamma, beta = self.mlp_gamma(hidden), self.mlp_beta(hidden)
        y: Tensor = self.param_free_norm(x) * (1 + gamma) + beta
        return y


class SpadeBlock(nn.Module):
    """Two normalised convolutions around a residual connection, which is a convolution if the width changes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.learned_shortcut = inputs != outputs
        self.conv_0 = SpectralConv2d(inputs, middle, 3)
        self.conv_1 = SpectralConv2d(middle, outputs, 3)
        self.norm_0 = Spade(inputs)
        self.norm_1 = Spade(middle)
        if self.learned_shortcut:
            self.conv_s = SpectralConv2d(inputs, outputs, 1, bias=False)
            self.norm_s = Spade(inputs)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shortcut = self.conv_s(self.norm_s(x, condition)) if self.learned_shortcut else x
        y: Tensor = self.conv_0(functional.leaky_relu(self.norm_0(x, condition), 0.2))
        y = self.conv_1(functional.leaky_relu(self.norm_1(y, condition), 0.2))
        y = shortcut + y
        return y


class SpadeGenerator(nn.Module):
    """Draws the picture from the warped appearance, which also conditions every block."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(SEGMENTATION, 512, 3, padding=1)
        for index in range(MIDDLE_BLOCKS):
            self.add_module(f"G_middle_{index}", SpadeBlock(512, 512))
        self.up_0 = SpadeBlock(512, 256)
        self.up_1 = SpadeBlock(256, 64)
        self.conv_img = nn.Sequential(nn.Conv2d(64, 3 * 2 * 2, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, feature: Tensor) -> Tensor:
        """Draw RGB (B, 3, 512, 512) in 0..1 from a warped feature (B, 256, 64, 64)."""
        x = self.fc(feature)
        for index in range(MIDDLE_BLOCKS):
            x = self.get_submodule(f"G_middle_{index}")(x, feature)
        x = self.up_0(functional.interpolate(x, scale_factor=2.0), feature)
        x = self.up_1(functional.interpolate(x, scale_factor=2.0), feature)
        return torch.sigmoid(self.conv_img(functional.leaky_relu(x, 0.2)))
