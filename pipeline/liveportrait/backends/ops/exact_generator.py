"""LivePortrait's generator (Guo et al., arXiv:2407.03168) in 375 instead of 446 GMAC, equal up to rounding.

- A convolution of a nearest-upsampled map is a transposed convolution of the small map. These are the hidden layers of
  both upsampling blocks (73 GMAC become 21).
- Convolutions of the same map are merged: `fc` and the middle blocks' twelve hidden layers, the three of an upsampling
  block, gamma and beta of every SPADE (Park et al., arXiv:1903.07291).
- The shortcut's 1x1 convolution is linear, so `conv_s(beta)` is one convolution of the hidden layer, with the product
  of both weights and with fewer outputs than beta (29 GMAC become 10).
- Instance normalisation commutes with nearest upsampling, so the small map is normalised, once for block and shortcut.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.liveportrait.backends.ops.fold import after_upsampling, bias_of, convolution, merged, padded
from pipeline.liveportrait.networks.generator import MIDDLE_BLOCKS, Spade, SpadeBlock, SpadeGenerator

EPSILON = 1e-5  # of nn.InstanceNorm2d
SLOPE = 0.2
PIXEL_CHANNELS, PADDED_PIXELS = 12, 16  # tensor cores and AVX-512 need a multiple of 8


def normalized(x: Tensor) -> Tensor:
    """Return the instance normalisation of (B, C, H, W), computed in float32."""
    centred = x.float()
    # Two passes: on a CPU `var_mean` of a channels-last map takes five times as long.
    centred = centred - centred.mean((2, 3), keepdim=True)
    return (centred * torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + EPSILON)).to(x.dtype)


class Modulation(nn.Module):
    """SPADE after its hidden layer, with the activation that follows."""

    def __init__(self, spade: Spade) -> None:
        super().__init__()
        self.gamma_beta = merged((spade.mlp_gamma, spade.mlp_beta))

    def forward(self, normal: Tensor, hidden: Tensor) -> Tensor:
        """Modulate a normalised map (B, C, H, W) with a hidden layer (B, 128, H, W)."""
        gamma, beta = self.gamma_beta(hidden).chunk(2, 1)
        return functional.leaky_relu_(torch.addcmul(beta, normal, gamma).add_(normal), SLOPE)


class Residual(nn.Module):
    """A SpadeBlock without the addition at its end."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm_0, self.norm_1 = Modulation(block.norm_0), Modulation(block.norm_1)
        self.conv_0, self.conv_1 = merged((block.conv_0,)), merged((block.conv_1,))

    def forward(self, normal: Tensor, hidden_0: Tensor, hidden_1: Tensor) -> Tensor:
        """Return the residual of a normalised input, with the hidden layers of both norms."""
        y: Tensor = self.conv_0(self.norm_0(normal, hidden_0))
        y = self.conv_1(self.norm_1(normalized(y), hidden_1))
        return y


class UpBlock(nn.Module):
    """Nearest upsampling to twice the size and the SpadeBlock after it, whose shortcut is a convolution."""

    def __init__(self, block: SpadeBlock, factor: int) -> None:
        """Copy the parameters of `block`, whose result is `factor` times larger than the condition."""
        super().__init__()
        shared: list[Any] = [norm.mlp_shared[0] for norm in (block.norm_0, block.norm_1, block.norm_s)]
        self.shared = after_upsampling(merged(shared), factor, factor)
        self.residual = Residual(block)
        self.gamma_shift, self.conv_s = _gamma_shift(block), merged((block.conv_s,))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Turn (B, inputs, H, W) into (B, outputs, 2H, 2W)."""
        hidden_0, hidden_1, hidden_s = functional.relu_(self.shared(condition)).chunk(3, 1)
        normal = functional.interpolate(normalized(x), scale_factor=2.0)
        gamma, shift = self.gamma_shift(hidden_s).tensor_split((normal.shape[1],), 1)
        y: Tensor = self.conv_s(torch.addcmul(normal, normal, gamma)).add_(shift)
        return y.add_(self.residual(normal, hidden_0, hidden_1))


def _gamma_shift(block: Any) -> nn.Module:
    """Return the convolution that gives the shortcut's gamma and `conv_s(beta)`."""
    beta, mix = block.norm_s.mlp_beta, block.conv_s.weight[:, :, 0, 0].double()
    weight = torch.einsum("om,mikl->oikl", mix, beta.weight.double()).float()
    shift = convolution(weight, (mix @ bias_of(beta).double()).float(), beta.padding)
    return merged((block.norm_s.mlp_gamma, shift))


class ExactGenerator(nn.Module):
    """SpadeGenerator with the same result up to rounding: 2e-5 in float32, for pictures in 0..1."""

    def __init__(self, generator: SpadeGenerator) -> None:
        """Copy the parameters of a folded generator in float32. Then call `.to(device, dtype)`."""
        super().__init__()
        blocks: list[Any] = [generator.get_submodule(f"G_middle_{index}") for index in range(MIDDLE_BLOCKS)]
        norms = [norm for block in blocks for norm in (block.norm_0, block.norm_1)]
        self.first = merged((generator.fc, *(norm.mlp_shared[0] for norm in norms)))
        self.width = generator.fc.out_channels
        self.middle = nn.ModuleList(Residual(block) for block in blocks)
        self.up_0, self.up_1 = UpBlock(generator.up_0, 2), UpBlock(generator.up_1, 4)
        last: Any = generator.conv_img[0]
        self.last = padded(last, last.in_channels, PADDED_PIXELS)

    def forward(self, feature: Tensor) -> Tensor:
        """Turn features (B, 256, 64, 64) into RGB (B, 3, 512, 512) in 0..1, in the features' type."""
        feature = feature.contiguous(memory_format=torch.channels_last)
        x, hidden = self.first(feature).tensor_split((self.width,), 1)
        layers = functional.relu_(hidden).chunk(2 * len(self.middle), 1)
        for residual, hidden_0, hidden_1 in zip(self.middle, layers[::2], layers[1::2], strict=True):
            x = residual(normalized(x), hidden_0, hidden_1).add_(x)
        x = functional.leaky_relu_(self.up_1(self.up_0(x, feature), feature), SLOPE)
        return functional.pixel_shuffle(self.last(x)[:, :PIXEL_CHANNELS], 2).sigmoid_()
