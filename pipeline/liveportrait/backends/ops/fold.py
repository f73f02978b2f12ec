"""Rewrite convolutions into others that give the same result with less work.

Convolutions are nn.Conv2d or nn.Conv3d. Results are new ones for inference, with kernels in channels-last order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def convolution(weight: Tensor, bias: Tensor, padding: Any) -> nn.Module:
    """Return a convolution with copies of these parameters; `weight` is (outputs, inputs, taps of 2 or 3 axes)."""
    outputs, inputs, *kernel = weight.shape
    kind: Any = nn.Conv2d if weight.ndim == 4 else nn.Conv3d
    return _filled(kind(inputs, outputs, kernel, padding=padding, device="meta"), weight, bias)


def merged(convs: Sequence[Any]) -> nn.Module:
    """Merge convolutions that read the same map with kernels of one size; the outputs are in order."""
    weight, bias = torch.cat([conv.weight for conv in convs]), torch.cat([bias_of(conv) for conv in convs])
    return convolution(weight, bias, convs[0].padding)


def padded(conv: Any, inputs: int, outputs: int) -> nn.Module:
    """Pad a convolution with inputs that do not matter and outputs that are zero."""
    missing = outputs - conv.out_channels
    channels = (0, inputs - conv.in_channels, 0, missing)
    weight = functional.pad(conv.weight, (0, 0) * len(conv.kernel_size) + channels)
    return convolution(weight, functional.pad(bias_of(conv), (0, missing)), conv.padding)


def after_upsampling(conv: Any, *factors: int) -> nn.Module:
    """Return a transposed convolution that gives what `conv` gives for a nearest-upsampled map, from the small map.

    `conv` has 3 taps an axis and padding 1; `factors` are for each axis. An output reads a sample once, with the sum
    of the taps that read its copies.
    """
    weight = conv.weight.double().transpose(0, 1)
    for axis, factor in enumerate(factors, start=2):
        weight = _spread(weight, axis, factor)
    inputs, outputs, *kernel = weight.shape
    kind: Any = nn.ConvTranspose2d if weight.ndim == 4 else nn.ConvTranspose3d
    transposed = kind(inputs, outputs, kernel, stride=factors, padding=1, device="meta")
    return _filled(transposed, weight.to(conv.weight.dtype), bias_of(conv))


def bias_of(conv: Any) -> Tensor:
    """Return the bias of a convolution, or zeros."""
    bias: Tensor = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias
    return bias


def _spread(kernel: Tensor, axis: int, factor: int) -> Tensor:
    """Return the n - 1 + `factor` taps from one sample to the upsampled map, for a centred kernel of n taps."""
    taps, mirrored = kernel.shape[axis], kernel.flip(axis)
    size = list(kernel.shape)
    size[axis] = taps - 1 + factor
    spread = kernel.new_zeros(size)
    for offset in range(factor):
        spread.narrow(axis, offset, taps).add_(mirrored)
    return spread


def _filled(module: Any, weight: Tensor, bias: Tensor) -> nn.Module:
    order = torch.channels_last if weight.ndim == 4 else torch.channels_last_3d
    module.weight = nn.Parameter(weight.clone(memory_format=order), requires_grad=False)
    module.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return module
