"""LivePortrait's warping network (Guo et al., arXiv:2407.03168) in 165 instead of 171 GMAC, on a CPU in 94.

Equal up to rounding. What is rewritten:

- First deformation and heat maps without grids, last deformation in closed form: warp.py.
- The up-blocks' convolutions of nearest-upsampled volumes are transposed ones of the small volumes (29 GMAC become 13).
- Occlusion's 7x7 convolution of 2272 channels to one is a matrix product to its 49 taps, then their shifted sum.
- On a CPU the mask's 7x7x7 convolution (70 GMAC) is a product of spectra (7 GMAC): fourier.py.

Channels are padded with zeros to multiples of 8 or 16 (10 of those GMAC) and all volumes are channels-last, as tensor
cores and AVX-512 need them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.liveportrait.backends.ops import warp
from pipeline.liveportrait.backends.ops.fold import after_upsampling, bias_of, convolution, merged, padded
from pipeline.liveportrait.backends.ops.warp import PADDED_INPUTS
from pipeline.liveportrait.networks.appearance_extractor import CHANNELS, DEPTH
from pipeline.liveportrait.networks.warping import CANDIDATES, WarpingNetwork, candidate_shifts

PADDED_CANDIDATES = 24
SLOPE = 0.01
TAPS, PADDED_TAPS = 7, 56  # of occlusion: of one axis, and of both


class WarpSource(NamedTuple):
    """The tensors that the warping network needs of a portrait; batches are these, concatenated.

    They are exactly what the plain network computes again for each frame. Candidate 0 and the source's heat maps are
    constant too, but computing them costs less than reading them.
    """

    feature: Tensor  # (B, 32, 16, 64, 64), of the type that draws
    compressed: Tensor  # (B, 4, 16, 64, 64), of the type that draws: shown by the candidates
    keypoints: Tensor  # (B, 21, 3) float32


def direct_mask(conv: Any) -> nn.Module:
    """Return the mask's convolution as it is, with outputs padded for tensor cores."""
    return padded(conv, conv.in_channels, PADDED_CANDIDATES)


class ExactWarping(nn.Module):
    """WarpingNetwork with the same result up to rounding: 1e-5 in float32, for features of order one."""

    def __init__(
        self,
        network: WarpingNetwork,
        mask: Callable[[Any], nn.Module] = direct_mask,
        candidates: Callable[[Tensor, Tensor, Tensor], Tensor] = warp.candidates,
        warp: Callable[[Tensor, Tensor, Tensor], Tensor] = warp.warp,
    ) -> None:
        """Copy the parameters of a folded network in float32. Then call `.to(device, dtype)`.

        `mask` returns the module that computes the mask's logits, from its convolution of 144 channels; `candidates`
        and `warp` are functions like those in warp.py. Devices differ in these three.
        """
        super().__init__()
        dense: Any = network.dense_motion_network
        self.compress: Any = merged((dense.compress,))
        self.hourglass = ExactHourglass(dense.hourglass)
        self.mask = mask(padded(dense.mask, self.hourglass.channels, CANDIDATES))
        self.occlusion = Occlusion(dense.occlusion, self.hourglass.channels)
        self.third: Any = _depth_major(network.third.conv)
        self.fourth: Any = merged((network.fourth,))
        self._candidates, self._warp = candidates, warp

    def prepare(self, feature: Tensor, keypoints: Tensor) -> WarpSource:
        """Prepare a portrait once: its appearance (1, 32, 16, 64, 64) and keypoints (1, 21, 3), float32."""
        feature = feature.to(self.fourth.weight.dtype, memory_format=torch.channels_last_3d)
        return WarpSource(feature, functional.relu(self.compress(feature)), keypoints)

    def forward(self, source: WarpSource, kp_driving: Tensor) -> Tensor:
        """Return the features (B, 256, 64, 64) that the generator draws, for keypoints (B, 21, 3) float32."""
        prediction = self.hourglass(self._candidates(source.compressed, kp_driving, source.keypoints))
        shifts = candidate_shifts(kp_driving, source.keypoints)
        flat = self._warp(self.mask(prediction), shifts, source.feature).to(prediction.dtype)
        flat = flat.contiguous(memory_format=torch.channels_last)
        visible = self.occlusion(prediction).to(prediction.dtype)
        drawn: Tensor = self.fourth(functional.leaky_relu_(self.third(flat), SLOPE)).mul_(visible)
        return drawn


class ExactHourglass(nn.Module):
    """Hourglass on channels padded with zeros: (B, 112, D, H, W) to (B, 144, D, H, W).

    The innermost up-block is unchanged: its map is so small that reading a larger kernel costs more than it saves.
    """

    def __init__(self, hourglass: Any) -> None:
        super().__init__()
        first, *others = [block.conv for block in hourglass.encoder.down_blocks]
        self.down = nn.ModuleList([padded(first, PADDED_INPUTS, first.out_channels), *(merged((c,)) for c in others)])
        inner, *outer = [block.conv for block in hourglass.decoder.up_blocks]
        self.innermost = merged((inner,))
        self.up = nn.ModuleList(after_upsampling(conv, 1, 2, 2) for conv in outer)
        last = hourglass.decoder.conv
        padding = PADDED_INPUTS - first.in_channels
        self.channels: int = last.out_channels + padding
        self.last = padded(last, last.in_channels + padding, self.channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last_3d)
        skips = []
        for conv in self.down:
            skips.append(x)
            x = _halved(functional.relu_(conv(x)))
        x = torch.cat((functional.relu_(self.innermost(_doubled(x))), skips.pop()), 1)
        for conv in self.up:
            x = torch.cat((functional.relu_(conv(x)), skips.pop()), 1)
        return functional.relu_(self.last(x))


class Occlusion(nn.Module):
    """The visible part: a wide convolution to one channel, as a product to its taps and their shifted sum."""

    bias: Tensor

    def __init__(self, conv: nn.Conv2d, channels: int) -> None:
        super().__init__()
        weight = conv.weight.reshape(-1, DEPTH, 1, 1, TAPS * TAPS).movedim(-1, 0)  # taps, channels, depth
        self.taps = padded(convolution(weight, weight.new_zeros(TAPS * TAPS), 0), channels, PADDED_TAPS)
        self.register_buffer("bias", bias_of(conv).clone())

    def forward(self, prediction: Tensor) -> Tensor:
        """Turn (B, 144, 16, H, W) into (B, 1, H, W) float32 in 0..1."""
        height, width = prediction.shape[-2:]
        taps = self.taps(prediction)[:, : TAPS * TAPS].float().reshape(-1, TAPS, TAPS, height, width)
        taps = functional.pad(taps, (TAPS // 2,) * 4)
        rows = torch.stack([taps[:, :, tap, :, tap : tap + width] for tap in range(TAPS)]).sum(0)
        total = torch.stack([rows[:, tap, tap : tap + height] for tap in range(TAPS)]).sum(0)
        return torch.sigmoid(total + self.bias)[:, None]


def _halved(x: Tensor) -> Tensor:
    return _per_slice(lambda slices: functional.avg_pool2d(slices, 2), x)


def _doubled(x: Tensor) -> Tensor:
    return _per_slice(lambda slices: functional.interpolate(slices, scale_factor=2.0), x)


def _per_slice(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a 2-D function to every depth of (B, C, D, H, W); in channels-last order this copies nothing."""
    slices = function(x.transpose(1, 2).flatten(0, 1))
    return slices.reshape(x.shape[0], -1, *slices.shape[1:]).transpose(1, 2)


def _depth_major(conv: Any) -> nn.Module:
    """Return the convolution with inputs in order of depth, then channel, as `warp` gives them."""
    weight = conv.weight.reshape(-1, CHANNELS, DEPTH, *conv.kernel_size).transpose(1, 2).flatten(1, 2)
    return convolution(weight, bias_of(conv), conv.padding)
