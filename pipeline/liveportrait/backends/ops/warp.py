"""The two ends of the warping network that are no convolutions, without the 22-fold volumes and grids.

Every candidate deformation is a translation of a regular grid, so both trilinear sampling and the Gaussians are
products of three one-dimensional factors. These functions run everywhere; kernels.py has them as single kernels for
CUDA.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.liveportrait.networks.layers import sample
from pipeline.liveportrait.networks.warping import (
    CANDIDATES,
    HEATMAP_VARIANCE,
    HOURGLASS_INPUTS,
    candidate_shifts,
    identity_grid,
)

PADDED_INPUTS = 112  # HOURGLASS_INPUTS and zeros: tensor cores and AVX-512 need a multiple of 16


def candidates(compressed: Tensor, kp_driving: Tensor, kp_source: Tensor) -> Tensor:
    """Return the input of the hourglass: heat maps, and `compressed` (B, 4, D, H, W) as each candidate would move it.

    Keypoints are (B, 21, 3) float32, xyz. The result is (B, 112, D, H, W) in the type of `compressed`: for each of the
    22 candidates its heat map and then its 4 channels, the first heat map zero as in the network; then two channels of
    zeros. Coordinates, Gaussians and weights are float32.
    """
    moved = _translated(compressed.float(), candidate_shifts(kp_driving, kp_source))
    heat = functional.pad(_gaussians(kp_driving, compressed) - _gaussians(kp_source, compressed), (0, 0) * 3 + (1, 0))
    joined = torch.cat((heat[:, :, None], moved), 2).flatten(1, 2).to(compressed.dtype)
    return functional.pad(joined, (0, 0) * 3 + (0, PADDED_INPUTS - HOURGLASS_INPUTS))


def warp(logits: Tensor, shifts: Tensor, feature: Tensor) -> Tensor:
    """Return `feature` (B, C, D, H, W) moved by the softmax of the candidates: (B, D * C, H, W) in `logits`' type.

    `logits` are (B, 22 or more, D, H, W), of which the first 22 count; `shifts` (B, 22, 3) float32, xyz, in units of
    the volume's half size. Channels are in order of depth, then of `feature`'s channels. The place of a sample is the
    mean of its candidates' places, so the deformation is the grid plus one product of 22 masks with 22 shifts; it,
    softmax and sampling are float32. Zero outside the volume.
    """
    mask = logits[:, :CANDIDATES].float().softmax(1)
    moved = torch.einsum("bkdhw,bkc->bdhwc", mask, shifts)
    warped = sample(feature, identity_grid(feature) + moved)
    return warped.transpose(1, 2).flatten(1, 2).to(logits.dtype)


def _translated(volume: Tensor, shifts: Tensor) -> Tensor:
    """Move `volume` (B, C, D, H, W) by each of `shifts` (B, K, 3): (B, K, C, D, H, W)."""
    z, y, x = (_interpolation(size, shifts[..., 2 - axis]) for axis, size in enumerate(volume.shape[-3:]))
    batch, channels, depth, height, width = volume.shape
    moved = volume.reshape(batch, 1, -1, width) @ x.transpose(-1, -2)
    moved = y[:, :, None] @ moved.reshape(batch, -1, channels * depth, height, width)
    moved = z[:, :, None] @ moved.reshape(batch, -1, channels, depth, height * width)
    return moved.reshape(batch, -1, *volume.shape[1:])


def _interpolation(size: int, shift: Tensor) -> Tensor:
    """Return (..., size, size): row i weighs the samples for position i moved by `shift` (...); zero outside."""
    index = torch.arange(size, device=shift.device, dtype=shift.dtype)
    # The grid's first and last points are the edges of the volume for `sample`, not the middles of its samples.
    position = ((torch.linspace(-1, 1, size, device=shift.device) + shift[..., None] + 1) * size - 1) / 2
    return functional.relu(1 - (position[..., None] - index).abs())


def _gaussians(keypoints: Tensor, like: Tensor) -> Tensor:
    """Return (B, K, D, H, W) float32 around each of `keypoints` (B, K, 3), on the grid of `like` (..., D, H, W)."""
    factors = []
    for axis, size in enumerate(like.shape[-3:]):
        distance = torch.linspace(-1, 1, size, device=keypoints.device) - keypoints[..., 2 - axis, None]
        factors.append(torch.exp(distance.square() / (-2 * HEATMAP_VARIANCE)))
    z, y, x = factors
    return z[..., :, None, None] * y[..., None, :, None] * x[..., None, None, :]
