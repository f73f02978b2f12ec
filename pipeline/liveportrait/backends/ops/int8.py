"""Convolutions in 8-bit integers; processors and GPUs that support them compute twice as many as in 16 bits.

Activations are asymmetric, with a scale found for each picture as it is drawn: a fixed scale would clip portraits that
are livelier than the one it was measured on. Weights are symmetric with a scale for each output, sums exact in 32 bits
(Jacob et al., arXiv:1712.05877). Input channels are made equally large as far as the weights can undo it (SmoothQuant,
Xiao et al., arXiv:2211.10438). A CPU uses oneDNN, CUDA the kernel of int8_triton.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pipeline.liveportrait.backends.ops.fold import bias_of

TOP = 255
WEIGHT_TOP = 127
LEAST_STEP = 1e-12  # of a map that is all zero


class Counted(NamedTuple):
    """Maps as whole numbers: (number - zero) * step, times the divisor of their channels."""

    numbers: Tensor  # (B, C, ...) uint8
    steps: Tensor  # (B,) float32
    zeros: Tensor  # (B,) float32, whole: what 0.0 becomes, with which convolutions pad


def balance_of(values: Tensor) -> Tensor:
    """Return (C,) float32, divisors for the channels of maps like `values` (B, C, ...), so that none is far smaller.

    Raise ValueError if the map is all zero or contains NaN or infinity.
    """
    largest = values.float().abs().movedim(1, -1).flatten(0, -2).amax(0)
    if not 0 < float(largest.max()) < torch.inf:
        raise ValueError("A map of zeros, NaN or infinity has no range; calibrate with a face.")
    return torch.where(largest > 0, largest.sqrt(), 1.0)


def counted(values: Tensor, balance: Tensor) -> Counted:
    """Round maps (B, C, ...) to whole numbers, halves up; each of the B has its own range."""
    divided = values.float() * along(1 / balance, values)
    ends = torch.stack([torch.stack(torch.aminmax(one)) for one in divided.movedim(1, -1)])
    low, high = ends[:, 0].clamp(max=0), ends[:, 1].clamp(min=0)
    steps = ((high - low) / TOP).clamp(min=LEAST_STEP)
    zeros = (-low / steps).round()
    each = (-1, *[1] * (values.ndim - 1))
    numbers = divided.mul_((1 / steps).reshape(each)).add_((zeros + 0.5).reshape(each)).clamp_(0, TOP)
    return Counted(numbers.to(torch.uint8), steps, zeros)


def counted_weight(weight: Tensor, balance: Tensor) -> tuple[Tensor, Tensor]:
    """Round weights (O, C, ...) float32, for inputs divided by `balance`, to int8; also return the scales (O,)."""
    weight = weight * along(balance, weight)
    largest = weight.flatten(1).abs().amax(1)
    scales = torch.where(largest > 0, largest / WEIGHT_TOP, 1.0)
    return (weight / scales.reshape(-1, *[1] * (weight.ndim - 1))).round().to(torch.int8), scales


def along(channels: Tensor, like: Tensor) -> Tensor:
    """Reshape (C,) along the second axis of `like`."""
    return channels.reshape(-1, *[1] * (like.ndim - 2))


class OneDnnConv(nn.Module):
    """A convolution of stride 1 in two or three dimensions on the CPU; fastest on channels-last maps, one by one."""

    def __init__(self, conv: Any, balance: Tensor) -> None:
        """Convert a float32 convolution, for maps divided by `balance` (C,)."""
        super().__init__()
        weight, self.scales = counted_weight(conv.weight, balance)
        self.balance, self.bias, self.axes = balance, bias_of(conv), weight.ndim - 2
        self.zeros = torch.zeros(len(weight), dtype=torch.int8)
        ones, self.padding = [1] * self.axes, list(conv.padding)
        self.packed = torch.ops.onednn.qconv_prepack(weight, self.scales, 1.0, 1, ones, self.padding, ones, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, C, [D,] H, W) into (B, outputs, [D,] H, W) in the type of `x`."""
        results = [self._convolved(one, x.dtype) for one in torch.split(x, 1)]
        return results[0] if len(results) == 1 else torch.cat(results)

    def _convolved(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        numbers, step, zero = counted(x, self.balance)
        convolve = torch.ops.onednn.qconv2d_pointwise if self.axes == 2 else torch.ops.onednn.qconv3d_pointwise
        read, ones = (numbers, float(step), int(zero)), [1] * self.axes
        weight = (self.packed, self.scales, self.zeros, self.bias)
        result: Tensor = convolve(*read, *weight, ones, self.padding, ones, 1, 1.0, 0, dtype, "none", [], "")
        return result
