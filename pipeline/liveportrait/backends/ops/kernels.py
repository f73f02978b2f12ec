"""The two ends of the warping network as one Triton kernel each. They compute in float32, whatever the types are.

warp.py has the same functions in PyTorch, which define the result and run on a CPU. Shapes are constants of the
kernels; width and channels are powers of two.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.library import triton_op, wrap_triton

from pipeline.liveportrait.backends.ops import warp as plain
from pipeline.liveportrait.networks.motion_extractor import KEYPOINTS
from pipeline.liveportrait.networks.warping import CANDIDATES, COMPRESSED, HEATMAP_VARIANCE

GROUP, WARPS = 4, 2
"""Candidates and warps of a program: enough work per thread to share a row's values, in 96 registers."""


@triton_op("puppet::candidates", mutates_args=())
def candidates(compressed: Tensor, kp_driving: Tensor, kp_source: Tensor) -> Tensor:
    """Compute `plain.candidates` with the channels of a voxel side by side (channels_last_3d), for tensor cores."""
    if not _runs_kernels(compressed):
        return plain.candidates(compressed, kp_driving, kp_source)
    batch, _, depth, height, width = compressed.shape
    out = torch.empty(
        (batch, plain.PADDED_INPUTS, depth, height, width),
        dtype=compressed.dtype,
        device=compressed.device,
        memory_format=torch.channels_last_3d,
    )
    groups = triton.cdiv(plain.PADDED_INPUTS, GROUP * (COMPRESSED + 1))
    wrap_triton(candidates_kernel)[(groups, batch * depth * height)](
        out,
        compressed.contiguous(memory_format=torch.channels_last_3d),
        kp_driving.contiguous(),
        kp_source.contiguous(),
        DEPTH=depth,
        HEIGHT=height,
        WIDTH=width,
        KEYPOINTS=KEYPOINTS,
        CHANNELS=COMPRESSED,
        OUTPUTS=plain.PADDED_INPUTS,
        GROUP=GROUP,
        SHARPNESS=1 / (2 * HEATMAP_VARIANCE),
        num_warps=WARPS,
    )
    return out


@triton_op("puppet::warp", mutates_args=())
def warp(logits: Tensor, shifts: Tensor, feature: Tensor) -> Tensor:
    """Compute `plain.warp` with the channels of a pixel side by side (channels_last).

    `logits` may lie candidate by candidate or voxel by voxel, with any padding between.
    """
    if not _runs_kernels(logits):
        return plain.warp(logits, shifts, feature)
    batch, channels, depth, height, width = feature.shape
    if logits.stride()[2:4] != (height * logits.stride(3), width * logits.stride(4)):
        logits = logits.contiguous()
    out = torch.empty(
        (batch, depth * channels, height, width),
        dtype=logits.dtype,
        device=logits.device,
        memory_format=torch.channels_last,
    )
    wrap_triton(warp_kernel)[(batch * depth * height,)](
        out,
        logits,
        shifts.contiguous(),
        feature.contiguous(memory_format=torch.channels_last_3d),
        DEPTH=depth,
        HEIGHT=height,
        WIDTH=width,
        CHANNELS=channels,
        CANDIDATES=CANDIDATES,
        TILE=triton.next_power_of_2(CANDIDATES),
        ITEM_STRIDE=logits.stride(0),
        CANDIDATE_STRIDE=logits.stride(1),
        VOXEL_STRIDE=logits.stride(4),
    )
    return out


def _runs_kernels(tensor: Tensor) -> bool:
    return tensor.is_cuda or triton.knobs.runtime.interpret


@triton.jit
def candidates_kernel(
    out: tl.tensor,  # (B, D, H, W, OUTPUTS)
    compressed: tl.tensor,  # (B, D, H, W, CHANNELS)
    driving: tl.tensor,  # (B, KEYPOINTS, 3) float32
    source: tl.tensor,
    DEPTH: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    KEYPOINTS: tl.constexpr,
    CHANNELS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    GROUP: tl.constexpr,
    SHARPNESS: tl.constexpr,
) -> None:
    """Compute a group of candidates over one row of voxels in each program; z and y are the same for all."""
    row = tl.program_id(1)
    item, z, y = row // (DEPTH * HEIGHT), row // HEIGHT % DEPTH, row % HEIGHT
    x = tl.arange(0, WIDTH)
    candidate = tl.program_id(0) * GROUP + tl.arange(0, GROUP)
    moves = (candidate > 0) & (candidate <= KEYPOINTS)  # the first does not move; those after the last are padding
    point = (item * KEYPOINTS + candidate - 1) * 3
    driving_x, driving_y, driving_z = _point(driving + point, moves)
    source_x, source_y, source_z = _point(source + point, moves)
    at_x, at_y, at_z = _coordinate(x, WIDTH)[:, None], _coordinate(y, HEIGHT), _coordinate(z, DEPTH)

    heat = _gaussian(at_x - driving_x, at_y - driving_y, at_z - driving_z, SHARPNESS)
    heat -= _gaussian(at_x - source_x, at_y - source_y, at_z - source_z, SHARPNESS)

    from_x = _position(at_x + (source_x - driving_x)[None, :], WIDTH)
    from_y = _position(at_y + (source_y - driving_y), HEIGHT)
    from_z = _position(at_z + (source_z - driving_z), DEPTH)
    channel = tl.arange(0, CHANNELS)
    moved = tl.zeros((WIDTH, GROUP, CHANNELS), tl.float32)
    for corner in tl.static_range(8):
        tap_x, weight_x = _tap(from_x, corner % 2, WIDTH)
        tap_y, weight_y = _tap(from_y, corner // 2 % 2, HEIGHT)
        tap_z, weight_z = _tap(from_z, corner // 4, DEPTH)
        voxel = ((item * DEPTH + tap_z) * HEIGHT + tap_y)[None, :] * WIDTH + tap_x
        value = tl.load(compressed + voxel[:, :, None] * CHANNELS + channel[None, None, :]).to(tl.float32)
        moved += value * (weight_x * (weight_y * weight_z)[None, :])[:, :, None]

    exists = candidate <= KEYPOINTS
    first = candidate * (CHANNELS + 1)
    voxels = out + (row * WIDTH + x) * OUTPUTS
    heat = tl.where(moves[None, :], heat, 0.0).to(out.dtype.element_ty)
    tl.store(voxels[:, None] + first[None, :], heat, (first < OUTPUTS)[None, :])
    output = first[:, None] + 1 + channel[None, :]
    moved = tl.where(exists[None, :, None], moved, 0.0).to(out.dtype.element_ty)
    tl.store(voxels[:, None, None] + output[None, :, :], moved, (output < OUTPUTS)[None, :, :])


@triton.jit
def warp_kernel(
    out: tl.tensor,  # (B, H, W, D, CHANNELS)
    logits: tl.tensor,  # (B, CANDIDATES or more, D, H, W), of the given strides
    shifts: tl.tensor,  # (B, CANDIDATES, 3) float32
    feature: tl.tensor,  # (B, D, H, W, CHANNELS)
    DEPTH: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    CHANNELS: tl.constexpr,
    CANDIDATES: tl.constexpr,
    TILE: tl.constexpr,
    ITEM_STRIDE: tl.constexpr,
    CANDIDATE_STRIDE: tl.constexpr,
    VOXEL_STRIDE: tl.constexpr,
) -> None:
    """Compute one row of voxels in each program: first all candidates of each, then all channels."""
    row = tl.program_id(0)
    item, z, y = row // (DEPTH * HEIGHT), row // HEIGHT % DEPTH, row % HEIGHT
    x = tl.arange(0, WIDTH)
    candidate = tl.arange(0, TILE)
    counts = candidate < CANDIDATES
    voxel = (z * HEIGHT + y) * WIDTH + x
    places = logits + item * ITEM_STRIDE + voxel[:, None] * VOXEL_STRIDE + candidate[None, :] * CANDIDATE_STRIDE
    logit = tl.load(places, counts[None, :], other=float("-inf")).to(tl.float32)
    mask = tl.exp(logit - tl.max(logit, 1)[:, None])
    mask = mask / tl.sum(mask, 1)[:, None]
    shift_x, shift_y, shift_z = _point(shifts + (item * CANDIDATES + candidate) * 3, counts)
    from_x = _position(_coordinate(x, WIDTH) + tl.sum(mask * shift_x[None, :], 1), WIDTH)
    from_y = _position(_coordinate(y, HEIGHT) + tl.sum(mask * shift_y[None, :], 1), HEIGHT)
    from_z = _position(_coordinate(z, DEPTH) + tl.sum(mask * shift_z[None, :], 1), DEPTH)

    channel = tl.arange(0, CHANNELS)
    warped = tl.zeros((WIDTH, CHANNELS), tl.float32)
    for corner in tl.static_range(8):
        tap_x, weight_x = _tap(from_x, corner % 2, WIDTH)
        tap_y, weight_y = _tap(from_y, corner // 2 % 2, HEIGHT)
        tap_z, weight_z = _tap(from_z, corner // 4, DEPTH)
        tap = ((item * DEPTH + tap_z) * HEIGHT + tap_y) * WIDTH + tap_x
        value = tl.load(feature + tap[:, None] * CHANNELS + channel[None, :]).to(tl.float32)
        warped += value * (weight_x * weight_y * weight_z)[:, None]
    pixel = (item * HEIGHT + y) * WIDTH + x
    outputs = out + (pixel[:, None] * DEPTH + z) * CHANNELS + channel[None, :]
    tl.store(outputs, warped.to(out.dtype.element_ty))


@triton.jit
def _point(places: tl.tensor, exists: tl.tensor) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Load the x, y and z there; zeros where `exists` is false."""
    return tl.load(places, exists, 0.0), tl.load(places + 1, exists, 0.0), tl.load(places + 2, exists, 0.0)


@triton.jit
def _coordinate(index: tl.tensor, SIZE: tl.constexpr) -> tl.tensor:
    """Return the coordinate of a sample in the identity grid: -1 is the first of an axis, 1 the last."""
    return index * (2 / (SIZE - 1)) - 1


@triton.jit
def _position(coordinate: tl.tensor, SIZE: tl.constexpr) -> tl.tensor:
    """Return the position in samples, at most one past the ends; corners as in `sample` of networks/layers.py."""
    return tl.minimum(tl.maximum((coordinate + 1) * (SIZE / 2) - 0.5, -1.0), SIZE)


@triton.jit
def _tap(position: tl.tensor, OFFSET: tl.constexpr, SIZE: tl.constexpr) -> tuple[tl.tensor, tl.tensor]:
    """Return the index of one of the two samples around a position, clamped, and its weight, which is zero outside."""
    index = tl.floor(position) + OFFSET
    weight = tl.where((index >= 0) & (index < SIZE), 1 - tl.abs(position - index), 0.0)
    return tl.minimum(tl.maximum(index, 0.0), SIZE - 1).to(tl.int32), weight


@triton.jit
def _gaussian(x: tl.tensor, y: tl.tensor, z: tl.tensor, SHARPNESS: tl.constexpr) -> tl.tensor:
    return tl.exp((x * x + (y * y + z * z)[None, :]) * -SHARPNESS)
