"""Convolutions of 8-bit integers as one Triton kernel: a matrix product whose left side is gathered tap by tap.

An H100 multiplies 8-bit integers twice as fast as 16-bit floats, and less is read and written. Not run on a GPU yet:
the tests compile it for sm_80, sm_89 and sm_90 and run it in Triton's interpreter.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.library import triton_op, wrap_triton

from pipeline.liveportrait.backends.ops.fold import bias_of
from pipeline.liveportrait.backends.ops.int8 import counted, counted_weight

MIDDLE = 128  # between uint8 and int8, which is what tensor cores multiply
PIXELS, INPUTS, LEAST_OUTPUTS, MOST_OUTPUTS = 128, 64, 32, 128  # of a tile


class TritonConv(nn.Module):
    """A convolution of stride 1 that keeps the size, in two or three dimensions, on a GPU."""

    def __init__(self, conv: Any, balance: Tensor) -> None:
        """Convert a float32 convolution, for maps divided by `balance` (C,)."""
        super().__init__()
        weight, self.scales = counted_weight(conv.weight, balance)
        self.balance, self.bias, self.taps = balance, bias_of(conv).clone(), list(conv.kernel_size)
        self.weight, self.sums = packed(weight), weight.flatten(1).sum(1, dtype=torch.int32)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, C, [D,] H, W) into (B, outputs, [D,] H, W), channels-last, in the type of `x`."""
        numbers, steps, zeros = counted(x, self.balance)
        rows = (numbers ^ MIDDLE).view(torch.int8).movedim(1, -1).contiguous()
        fills = zeros.to(torch.int32) - MIDDLE
        outputs = (self.weight, self.scales, self.sums, self.bias)
        return convolve(rows, steps, fills, *outputs, self.taps, x.dtype).movedim(-1, 1)


def packed(weight: Tensor) -> Tensor:
    """Return (O, C, taps ...) int8 as the kernel reads it: (O, taps, C), padded to whole tiles of O and C."""
    outputs, inputs = weight.shape[:2]
    rows = weight.flatten(2).transpose(1, 2)
    return nn.functional.pad(rows, (0, -inputs % INPUTS, 0, 0, 0, -outputs % _outputs_tile(outputs))).contiguous()


@triton_op("puppet::int8_conv", mutates_args=())
def convolve(
    rows: Tensor,
    steps: Tensor,
    fills: Tensor,
    weight: Tensor,
    scales: Tensor,
    sums: Tensor,
    bias: Tensor,
    taps: list[int],
    dtype: torch.dtype,
) -> Tensor:
    """Convolve (`rows` - `fills`) * `steps`, zero outside, with `packed` weights of `taps`; return (B, ..., O) `dtype`.

    `rows` (B, [D,] H, W, C) int8; `steps` (B,) float32 and `fills` (B,) int32 belong to the pictures, `scales` and
    `bias` (O,) float32 and `sums` (O,) int32 to the weights. `taps` are ([depth,] height, width).
    """
    *_, height, width, inputs = rows.shape
    outputs, depth = len(scales), rows.shape[1] if len(taps) == 3 else 1
    pixels, tile = rows.numel() // inputs, _outputs_tile(outputs)
    out = torch.empty((*rows.shape[:-1], outputs), dtype=dtype, device=rows.device)
    wrap_triton(convolution_kernel)[(triton.cdiv(pixels, PIXELS), triton.cdiv(outputs, tile))](
        out,
        rows,
        steps,
        fills,
        weight,
        scales,
        sums,
        bias,
        pixels,
        DEPTH=depth,
        HEIGHT=height,
        WIDTH=width,
        CHANNELS=inputs,
        OUTPUTS=outputs,
        TAPS_Z=taps[0] if len(taps) == 3 else 1,
        TAPS=taps[-1],
        PIXEL_TILE=PIXELS,
        INPUT_TILE=INPUTS,
        OUTPUT_TILE=tile,
        num_warps=8 if tile == MOST_OUTPUTS else 4,
        num_stages=4,
    )
    return out


def _outputs_tile(outputs: int) -> int:
    return min(MOST_OUTPUTS, max(LEAST_OUTPUTS, triton.next_power_of_2(outputs)))


@triton.jit
def convolution_kernel(
    out: tl.tensor,  # (pixels, OUTPUTS)
    rows: tl.tensor,  # (pixels, CHANNELS) int8
    steps: tl.tensor,  # (pictures,) float32
    fills: tl.tensor,  # (pictures,) int32
    weight: tl.tensor,  # (outputs, taps, channels) int8, both in whole tiles
    scales: tl.tensor,  # (OUTPUTS,) float32
    sums: tl.tensor,  # (OUTPUTS,) int32
    bias: tl.tensor,  # (OUTPUTS,) float32
    pixels: int,
    DEPTH: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    CHANNELS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    TAPS_Z: tl.constexpr,
    TAPS: tl.constexpr,
    PIXEL_TILE: tl.constexpr,
    INPUT_TILE: tl.constexpr,
    OUTPUT_TILE: tl.constexpr,
) -> None:
    """Compute a tile of pixels and outputs in each program, summed over taps and tiles of channels."""
    CHUNKS: tl.constexpr = (CHANNELS + INPUT_TILE - 1) // INPUT_TILE
    STEPS: tl.constexpr = TAPS_Z * TAPS * TAPS * CHUNKS
    pixel = tl.program_id(0) * PIXEL_TILE + tl.arange(0, PIXEL_TILE)
    output = tl.program_id(1) * OUTPUT_TILE + tl.arange(0, OUTPUT_TILE)
    channel = tl.arange(0, INPUT_TILE)
    x, y, z = pixel % WIDTH, pixel // WIDTH % HEIGHT, pixel // (WIDTH * HEIGHT) % DEPTH
    picture = tl.where(pixel < pixels, pixel // (WIDTH * HEIGHT * DEPTH), 0)
    fill, step_size = tl.load(fills + picture), tl.load(steps + picture)
    outside = fill.to(tl.int8)[:, None]
    kernels = weight + output[None, :] * (STEPS * INPUT_TILE) + channel[:, None]

    total = tl.zeros((PIXEL_TILE, OUTPUT_TILE), tl.int32)
    for step in range(STEPS):
        tap, first = step // CHUNKS, step % CHUNKS * INPUT_TILE
        by_x, by_y, by_z = tap % TAPS - TAPS // 2, tap // TAPS % TAPS - TAPS // 2, tap // (TAPS * TAPS) - TAPS_Z // 2
        inside = (x + by_x >= 0) & (x + by_x < WIDTH) & (y + by_y >= 0) & (y + by_y < HEIGHT)
        inside &= (z + by_z >= 0) & (z + by_z < DEPTH) & (pixel < pixels)
        neighbour = pixel + (by_z * HEIGHT + by_y) * WIDTH + by_x
        places = rows + neighbour[:, None] * CHANNELS + (first + channel)[None, :]
        values = tl.load(places, inside[:, None] & (first + channel < CHANNELS)[None, :], other=outside)
        total = tl.dot(values, tl.load(kernels + step * INPUT_TILE), total, out_dtype=tl.int32)

    exists = output < OUTPUTS
    scale, shift = tl.load(scales + output, exists, other=0.0), tl.load(bias + output, exists, other=0.0)
    total -= fill[:, None] * tl.load(sums + output, exists, other=0)[None, :]
    result = total.to(tl.float32) * (step_size[:, None] * scale[None, :]) + shift[None, :]
    places = out + pixel[:, None] * OUTPUTS + output[None, :]
    tl.store(places, result.to(out.dtype.element_ty), (pixel < pixels)[:, None] & exists[None, :])
