"""Convolutions in 8-bit integers, of which a processor or a GPU that can do them does twice as many as in 16 bits.

Activations are asymmetric, weights symmetric with a scale for every output, sums exact in 32 bits (Jacob et al.,
arXiv:1712.05877). Input channels are first made equally large as far as the weights can undo it (SmoothQuant, Xiao et
al., arXiv:2211.10438). On a CPU oneDNN computes them, on CUDA the kernel of conv8.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.backends.algebra import bias_of

TOP = 255
WEIGHT_TOP = 127
SAMPLES = 2048  # pixels of a map on which `Levels.best` tries what it chooses from
CLIPS = [0.08 * share for share in range(5, 13)] + [1.0]


@dataclass(frozen=True, eq=False)
class Levels:
    """What the numbers 0 to 255 stand for."""

    steps: Tensor  # (C,) float32: the difference that one level makes in a channel
    zero: int  # the level of 0.0, with which convolutions pad

    @staticmethod
    def best(values: Tensor) -> Levels:
        """For maps like `values` (B, C, ...): those with the least squared error, for which a few may be clipped.

        ValueError where the map is all zero or holds what is no number.
        """
        rows = values.float().movedim(1, -1).flatten(0, -2)
        largest = rows.abs().amax(0)
        if not 0 < float(largest.max()) < torch.inf:
            raise ValueError("A map of zeros, or with what is no number, has no range; calibrate with a face.")
        balance = torch.where(largest > 0, largest.sqrt(), 1.0)
        low, high = (float(end) for end in (rows / balance).aminmax())
        choices = [_levels(clip * min(low, 0.0), clip * max(high, 0.0), balance) for clip in CLIPS]
        sample = rows[:: len(rows) // SAMPLES | 1]  # an odd step: not always the same column of the map
        return min(choices, key=lambda levels: float((levels.read(quantized(sample, levels)) - sample).square().sum()))

    def read(self, numbers: Tensor) -> Tensor:
        """What uint8 numbers (B, C, ...) stand for, float32."""
        return (numbers.float() - self.zero) * _along(self.steps, numbers)


def quantized(values: Tensor, levels: Levels) -> Tensor:
    """Values (B, C, ...) as uint8: the nearest level, halves upwards; what lies outside as the last one."""
    numbers = values.float() * _along(1 / levels.steps, values)
    return numbers.add_(levels.zero + 0.5).clamp_(0, TOP).to(torch.uint8)


def quantized_weight(weight: Tensor, levels: Levels) -> tuple[Tensor, Tensor]:
    """Weights (O, C, ...) float32 for inputs counted in levels: int8, and what one is worth in each output (O,)."""
    weight = weight * _along(levels.steps, weight)
    largest = weight.flatten(1).abs().amax(1)
    scales = torch.where(largest > 0, largest / WEIGHT_TOP, 1.0)
    return (weight / scales.reshape(-1, *[1] * (weight.ndim - 1))).round().to(torch.int8), scales


class OneDnnConv(nn.Module):
    """A convolution of stride 1 in two or three dimensions, on the CPU; quickest on channels-last maps."""

    def __init__(self, conv: Any, levels: Levels) -> None:
        """From a float32 convolution and the levels of what it will read."""
        super().__init__()
        weight, self.scales = quantized_weight(conv.weight, levels)
        self.levels, self.bias, self.axes = levels, bias_of(conv), weight.ndim - 2
        self.zeros = torch.zeros(len(weight), dtype=torch.int8)
        ones, self.padding = [1] * self.axes, list(conv.padding)
        prepack = torch.ops.onednn.qconv_prepack
        self.packed = prepack(weight, self.scales, 1.0, levels.zero, ones, self.padding, ones, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, [D,] H, W) to (B, outputs, [D,] H, W) in the type of `x`."""
        convolve = torch.ops.onednn.qconv2d_pointwise if self.axes == 2 else torch.ops.onednn.qconv3d_pointwise
        weight, ones = (self.packed, self.scales, self.zeros, self.bias), [1] * self.axes
        read = (quantized(x, self.levels), 1.0, self.levels.zero)
        result: Tensor = convolve(*read, *weight, ones, self.padding, ones, 1, 1.0, 0, x.dtype, "none", [], "")
        return result


def int8_conv(conv: Any, levels: Levels) -> nn.Module:
    """A float32 convolution in 8 bits, on its device."""
    if not conv.weight.is_cuda:
        return OneDnnConv(conv, levels)
    from pipeline.backends.conv8 import TritonConv

    return TritonConv(conv, levels)


def _levels(low: float, high: float, balance: Tensor) -> Levels:
    step = (high - low) / TOP
    return Levels(balance * step, round(-low / step))


def _along(channels: Tensor, like: Tensor) -> Tensor:
    """(C,) along the second axis of `like`."""
    return channels.reshape(-1, *[1] * (like.ndim - 2))
