"""Layers that several networks share, and `fold`, which removes norms that are constant in inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


class SpectralConv2d(nn.Module):
    """A convolution divided by its largest singular value (Miyato et al., arXiv:1802.05957), as checkpoints store it.

    In inference the value is a constant of the stored vectors u and v, so `fold` replaces this by a plain convolution.
    """

    bias: nn.Parameter | None
    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        self.register_parameter("bias", nn.Parameter(torch.empty(outputs)) if bias else None)
        self.weight_orig = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.register_buffer("weight_u", torch.empty(outputs))
        self.register_buffer("weight_v", torch.empty(inputs * kernel * kernel))

    @property
    def weight(self) -> Tensor:
        sigma = self.weight_u @ self.weight_orig.flatten(1) @ self.weight_v
        return self.weight_orig / sigma

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, self.bias, padding=self.weight_orig.shape[-1] // 2)

    def folded(self) -> nn.Conv2d:
        outputs, inputs, kernel, _ = self.weight_orig.shape
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=self.bias is not None, device="meta")
        conv.weight, conv.bias = nn.Parameter(self.weight.detach(), requires_grad=False), self.bias
        return conv


class ConvBlock2d(nn.Module):
    """conv3 - BatchNorm - LeakyReLU; a slope of 0 is ReLU."""

    folds: ClassVar = (("conv", "norm"),)

    def __init__(self, inputs: int, outputs: int, slope: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.norm(self.conv(x)), self.slope)


class DownBlock2d(ConvBlock2d):
    """A ConvBlock2d that halves height and width."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(super().forward(x), 2)


class ConvBlock3d(nn.Module):
    """conv3 - BatchNorm - ReLU in three dimensions."""

    folds: ClassVar = (("conv", "norm"),)

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(x)))


class DownBlock3d(ConvBlock3d):
    """A ConvBlock3d that halves height and width; the depth stays."""

    def forward(self, x: Tensor) -> Tensor:
        return per_slice(lambda slices: functional.avg_pool2d(slices, 2), super().forward(x))


class UpBlock3d(ConvBlock3d):
    """A ConvBlock3d on twice the height and width; the depth stays."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(per_slice(lambda slices: functional.interpolate(slices, scale_factor=2.0), x))


def per_slice(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a 2-D function at every depth of (B, C, D, H, W); unlike 3-D ones these exist in every precision."""
    y = function(x.flatten(1, 2))
    return y.reshape(*x.shape[:3], *y.shape[2:])


def sample(feature: Tensor, grid: Tensor) -> Tensor:
    """Sample `feature` (B, C, D, H, W) at `grid` (B, D', H', W', 3), xyz in -1..1: trilinear, zero outside.

    Always in float32: in float16 a coordinate near 1 has steps of 1/64 pixel. The corners are not aligned although
    the grids of this model run from the first sample to the last: the official networks were trained that way.
    """
    return functional.grid_sample(feature.float(), grid.float(), align_corners=False).to(feature.dtype)


def fold(network: Network) -> Network:
    """Fold norms that are constant in inference into the convolution before them; exact, in place."""
    network.eval()
    for module in list(network.modules()):
        for conv, norm in getattr(module, "folds", ()):
            setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
            setattr(module, norm, nn.Identity())
        for name, child in list(module.named_children()):
            if isinstance(child, SpectralConv2d):
                setattr(module, name, child.folded())
    return network.requires_grad_(False)
