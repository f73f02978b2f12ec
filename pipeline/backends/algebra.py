"""Rewriting convolutions into others that give the same with less work. Parameters are copied; none is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Conv = TypeVar("Conv", nn.Conv2d, nn.Conv3d)


def convolution(like: Conv, weight: Tensor, bias: Tensor) -> Conv:
    """A convolution with these parameters, padded as `like`; the kernel in channels-last order."""
    outputs, inputs, *kernel = weight.shape
    conv: Conv = type(like)(inputs, outputs, kernel, padding=like.padding, device="meta")
    return _filled(conv, weight, bias)


def merged(convs: Sequence[Conv]) -> Conv:
    """One convolution with the outputs of all, in order: they read the same map with kernels of one size."""
    return convolution(convs[0], torch.cat([conv.weight for conv in convs]), torch.cat([bias_of(c) for c in convs]))


def padded(conv: Conv, inputs: int, outputs: int) -> Conv:
    """With zeros for more inputs, whatever they hold, and outputs that are zero."""
    weight, bias = conv.weight, bias_of(conv)
    missing = inputs - weight.shape[1], outputs - weight.shape[0]
    taps = (0, 0) * (weight.ndim - 2)
    weight = functional.pad(weight, (*taps, 0, missing[0], 0, missing[1]))
    return convolution(conv, weight, functional.pad(bias, (0, missing[1])))


def bias_of(conv: nn.Conv2d | nn.Conv3d) -> Tensor:
    """Its bias, or zeros."""
    return conv.weight.new_zeros(len(conv.weight)) if conv.bias is None else conv.bias


def after_upsampling(conv: nn.Conv2d | nn.Conv3d, *factors: int) -> nn.ConvTranspose2d | nn.ConvTranspose3d:
    """What `conv`, of 3 taps an axis and padded by 1, gives of a map upsampled (nearest) by a factor for each axis.

    It reads the map as it was before: every output meets a sample with the sum of the taps that met its copies.
    """
    weight = conv.weight.double().transpose(0, 1)
    for axis, factor in enumerate(factors, start=2):
        weight = _spread(weight, axis, factor)
    inputs, outputs, *kernel = weight.shape
    kind = nn.ConvTranspose2d if isinstance(conv, nn.Conv2d) else nn.ConvTranspose3d
    transposed = kind(inputs, outputs, kernel, stride=factors, padding=1, device="meta")
    return _filled(transposed, weight.to(conv.weight.dtype), bias_of(conv))


def _spread(kernel: Tensor, axis: int, factor: int) -> Tensor:
    """A centred kernel of n taps as the n - 1 + `factor` taps with which one sample reaches the upsampled map."""
    taps, mirrored = kernel.shape[axis], kernel.flip(axis)
    size = list(kernel.shape)
    size[axis] = taps - 1 + factor
    spread = kernel.new_zeros(size)
    for offset in range(factor):
        spread.narrow(axis, offset, taps).add_(mirrored)
    return spread


Module = TypeVar("Module", nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def _filled(module: Module, weight: Tensor, bias: Tensor) -> Module:
    order = torch.channels_last if weight.ndim == 4 else torch.channels_last_3d
    module.weight = nn.Parameter(weight.clone(memory_format=order), requires_grad=False)
    module.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return module
