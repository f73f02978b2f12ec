"""LivePortrait's generator (Guo et al., arXiv:2407.03168) with 446 GMAC's work done in 375, equal up to rounding.

What is rewritten, none of it an approximation:

- A convolution of a nearest-upsampled map is a transposed convolution of the small one, whose kernel holds the sums
  of the taps that met the same sample. Such are the hidden layers of both upsampling blocks (72 GMAC become 21).
- Convolutions of the same map are one: `fc` and the middle blocks' twelve hidden layers, the three of an upsampling
  block, gamma and beta of every SPADE (Park et al., arXiv:1903.07291).
- The shortcut's 1x1 convolution is linear, so beta passes it at no cost by product of the weights: `conv_s(beta)` is
  one convolution with fewer outputs (29 GMAC become 10).
- Instance normalisation commutes with nearest upsampling: statistics are those of the small map, in float32, and one
  normalised map serves the block and its shortcut.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.backends.algebra import after_upsampling, bias_of, convolution, merged, padded
from pipeline.liveportrait.networks.generator import HIDDEN, MIDDLE_BLOCKS, Spade, SpadeBlock, SpadeGenerator

EPSILON = 1e-5  # of nn.InstanceNorm2d
SLOPE = 0.2
PIXEL_CHANNELS, PADDED_PIXELS = 12, 16  # tensor cores and AVX-512 want a multiple of 8


def normalized(x: Tensor) -> Tensor:
    """Instance normalisation of (B, C, H, W) in float32; in two passes, for which a CPU takes a fifth of `var_mean`'s."""
    centred = x.float()
    centred = centred - centred.mean((2, 3), keepdim=True)
    return (centred * torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + EPSILON)).to(x.dtype)


class Modulation(nn.Module):
    """SPADE after its hidden layer, and the activation that follows: one convolution gives gamma and beta."""

    def __init__(self, spade: Spade) -> None:
        super().__init__()
        self.gamma_beta = merged((spade.mlp_gamma, spade.mlp_beta))

    def forward(self, normal: Tensor, hidden: Tensor) -> Tensor:
        gamma, beta = self.gamma_beta(hidden).chunk(2, 1)
        return functional.leaky_relu_(torch.addcmul(beta, normal, gamma).add_(normal), SLOPE)


class ExactBlock(nn.Module):
    """A SpadeBlock as wide at its end as at its start; its hidden layers are given."""

    def __init__(self, block: SpadeBlock) -> None:
        super().__init__()
        self.norm_0, self.norm_1 = Modulation(block.norm_0), Modulation(block.norm_1)
        self.conv_0, self.conv_1 = merged((block.conv_0,)), merged((block.conv_1,))

    def inside(self, normal: Tensor, hidden_0: Tensor, hidden_1: Tensor) -> Tensor:
        """The two convolutions, without the residual connection."""
        y = self.conv_0(self.norm_0(normal, hidden_0))
        result: Tensor = self.conv_1(self.norm_1(normalized(y), hidden_1))
        return result

    def forward(self, x: Tensor, hidden_0: Tensor, hidden_1: Tensor) -> Tensor:
        return self.inside(normalized(x), hidden_0, hidden_1).add_(x)


class ExactUpBlock(ExactBlock):
    """Nearest upsampling to twice the size and the SpadeBlock after it, whose shortcut is a convolution.

    `factor` is how much larger than the condition the result is.
    """

    def __init__(self, block: SpadeBlock, factor: int) -> None:
        super().__init__(block)
        shared = [norm.mlp_shared[0] for norm in (block.norm_0, block.norm_1, block.norm_s)]
        self.shared = after_upsampling(merged(shared), factor, factor)
        self.gamma_shift, self.conv_s = _shortcut(block)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        hidden_0, hidden_1, hidden_s = functional.relu_(self.shared(condition)).split(HIDDEN, 1)
        normal = functional.interpolate(normalized(x), scale_factor=2.0)
        gamma, shift = self.gamma_shift(hidden_s).tensor_split((normal.shape[1],), 1)
        y: Tensor = self.conv_s(torch.addcmul(normal, normal, gamma)).add_(shift)
        return y.add_(self.inside(normal, hidden_0, hidden_1))


def _shortcut(block: SpadeBlock) -> tuple[nn.Conv2d, nn.Conv2d]:
    """The convolution that gives gamma and `conv_s(beta)`, and `conv_s`."""
    beta = block.norm_s.mlp_beta
    mix = block.conv_s.weight[:, :, 0, 0].double()
    weight = torch.einsum("om,mikl->oikl", mix, beta.weight.double()).float()
    shift = convolution(beta, weight, (mix @ bias_of(beta).double()).float())
    return merged((block.norm_s.mlp_gamma, shift)), merged((block.conv_s,))


class ExactGenerator(nn.Module):
    """SpadeGenerator with the same result up to rounding: 2e-5 in float32 of pictures in 0..1."""

    def __init__(self, generator: SpadeGenerator) -> None:
        """From a folded generator in float32, whose parameters are copied. Then `.to(device, dtype)`."""
        super().__init__()
        blocks = [generator.get_submodule(f"G_middle_{index}") for index in range(MIDDLE_BLOCKS)]
        norms = [norm for block in blocks for norm in (block.norm_0, block.norm_1)]
        self.first = merged((generator.fc, *(norm.mlp_shared[0] for norm in norms)))
        self.middle = nn.ModuleList(ExactBlock(block) for block in blocks)
        self.up_0, self.up_1 = ExactUpBlock(generator.up_0, 2), ExactUpBlock(generator.up_1, 4)
        self.last = padded(generator.conv_img[0], 64, PADDED_PIXELS)

    def forward(self, feature: Tensor) -> Tensor:
        """Feature (B, 256, 64, 64) to RGB (B, 3, 512, 512) in 0..1, in the feature's type."""
        feature = feature.contiguous(memory_format=torch.channels_last)
        read = self.first(feature)
        x, hidden = read.tensor_split((read.shape[1] - 2 * MIDDLE_BLOCKS * HIDDEN,), 1)
        pairs = functional.relu(hidden).split(HIDDEN, 1)
        for block, hidden_0, hidden_1 in zip(self.middle, pairs[::2], pairs[1::2], strict=True):
            x = block(x, hidden_0, hidden_1)
        x = functional.leaky_relu_(self.up_1(self.up_0(x, feature), feature), SLOPE)
        return functional.pixel_shuffle(self.last(x)[:, :PIXEL_CHANNELS], 2).sigmoid_()
