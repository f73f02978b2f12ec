"""A wide 3-D convolution as products of spectra, tile by tile: far fewer operations for 7x7x7 taps on a CPU.

Overlap-save in height and width (Oppenheim and Schafer, Discrete-Time Signal Processing, 8.7); the depth, which has as
many taps as samples, stays a sum over taps. The transforms are so short that they are matrix products themselves.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE, TILE = 64, 32


class FourierConv3d(nn.Module):
    """An nn.Conv3d with an odd cubic kernel that keeps the size, for square maps that divide into tiles.

    Equal up to rounding. Transforms are float32, products of spectra in the type given to `.to`.
    """

    spectrum: Tensor
    bias: Tensor

    def __init__(self, conv: Any, size: int = SIZE, tile: int = TILE) -> None:
        """Transform a convolution in float32, for maps of this height and width only."""
        super().__init__()
        self.taps, self.tile, self.tiles = conv.kernel_size[0], tile, size // tile
        period = tile + self.taps - 1
        self.bins = (period, period // 2 + 1)
        self.register_buffer("spectrum", _spectrum(conv.weight, period))
        self.register_buffer("bias", conv.bias)
        self.to_rows, self.to_columns = _analysis_real(size, tile, period), _analysis_complex(size, tile, period)
        self.from_columns, self.from_rows = _synthesis_complex(tile, period), _synthesis_real(tile, period)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, C, D, H, W), fastest in channels_last_3d, into (B, outputs, D, H, W) float32."""
        batch, _, depth = x.shape[:3]
        products = torch.bmm(self._analysed(x), self.spectrum)
        return self._synthesised(self._along_depth(products, batch, depth), batch, depth)

    def _analysed(self, x: Tensor) -> Tensor:
        """Return spectra (bins, B * D * tiles, real and imaginary part of each channel)."""
        batch, channels, depth, height, width = x.shape
        rows, columns = self.bins
        y = _each(self.to_rows, x.float().permute(0, 2, 3, 4, 1).reshape(-1, width, channels))
        y = _each(self.to_columns, y.reshape(batch * depth, height * 2, -1))
        y = y.reshape(batch * depth, self.tiles, rows, 2, self.tiles, columns, channels)
        y = y.permute(2, 5, 0, 1, 4, 3, 6).to(self.spectrum.dtype, memory_format=torch.contiguous_format)
        return y.reshape(rows * columns, -1, 2 * channels)

    def _along_depth(self, products: Tensor, batch: int, depth: int) -> Tensor:
        """Sum every tap's products where they belong: (bins, B, D, tiles * 2 * outputs)."""
        bins, half = len(products), self.taps // 2
        products = products.reshape(bins, batch, depth, -1, 2, self.taps, len(self.bias))
        total = products[..., half, :].to(torch.float32, copy=True)
        for tap in (tap for tap in range(self.taps) if tap != half):
            shift = tap - half
            low, high = max(0, -shift), min(depth, depth - shift)
            total[:, :, low:high] += products[:, :, low + shift : high + shift, ..., tap, :]
        return total

    def _synthesised(self, spectra: Tensor, batch: int, depth: int) -> Tensor:
        (rows, columns), outputs, size = self.bins, len(self.bias), self.tiles * self.tile
        y = spectra.reshape(rows, columns, -1, 2, outputs).permute(2, 0, 3, 1, 4)
        y = _each(self.from_columns, y.reshape(-1, rows * 2, columns * outputs))
        y = _each(self.from_rows, y.reshape(-1, 2 * columns, outputs)) + self.bias
        y = y.reshape(batch, depth, self.tiles, self.tiles, self.tile, self.tile, outputs)
        return y.permute(0, 6, 1, 2, 4, 3, 5).reshape(batch, outputs, depth, size, size)


def _each(matrix: Tensor, batch: Tensor) -> Tensor:
    return torch.bmm(matrix.expand(batch.shape[0], -1, -1), batch)


def _tiled(basis: Tensor, tile: int, period: int) -> Tensor:
    """Return the tiles (n, tiles, period) of every row of `basis` (n, size)."""
    margin = (period - tile) // 2
    return functional.pad(basis, (margin, margin)).unfold(1, period, tile)


def _analysis_real(size: int, tile: int, period: int) -> Tensor:
    """Return the matrix from `size` samples to (2, tiles, bins), real and imaginary part."""
    spectra = torch.fft.rfft(_tiled(torch.eye(size, dtype=torch.float64), tile, period))
    return torch.view_as_real(spectra).permute(3, 1, 2, 0).reshape(-1, size).float()


def _analysis_complex(size: int, tile: int, period: int) -> Tensor:
    """Return the matrix from (size, 2) to (tiles, bins, 2), real and imaginary part."""
    spectra = torch.fft.fft(_tiled(torch.eye(size, dtype=torch.float64), tile, period))
    return _as_real_map(spectra).permute(1, 2, 4, 0, 3).reshape(-1, 2 * size).float()


def _synthesis_complex(tile: int, period: int) -> Tensor:
    """Return the matrix from (bins, 2) to the (tile, 2) samples without wrap-around."""
    samples = torch.fft.ifft(torch.eye(period, dtype=torch.complex128))[:, :tile]
    return _as_real_map(samples).permute(1, 3, 0, 2).reshape(2 * tile, 2 * period).float()


def _synthesis_real(tile: int, period: int) -> Tensor:
    """Return the matrix from (2, bins) to `tile` samples."""
    basis = torch.eye(period // 2 + 1, dtype=torch.complex128)
    return torch.fft.irfft(torch.cat((basis, 1j * basis)), period)[:, :tile].T.float().contiguous()


def _as_real_map(complex_map: Tensor) -> Tensor:
    """Return (...) complex factors as (..., 2, 2): from the input's real and imaginary part to the result's."""
    return torch.stack((torch.view_as_real(complex_map), torch.view_as_real(1j * complex_map)), -2)


def _spectrum(weight: Tensor, period: int) -> Tensor:
    """Return (bins, real and imaginary part of inputs, real and imaginary part of depth taps and outputs)."""
    spectra = torch.fft.rfft2(weight, (period, period)).conj().resolve_conj()  # conv3d does not mirror the kernel
    outputs, inputs, taps, rows, columns = spectra.shape
    blocks = _as_real_map(spectra.permute(3, 4, 1, 2, 0))  # bins, bins, inputs, taps, outputs, 2, 2
    return blocks.permute(0, 1, 5, 2, 6, 3, 4).reshape(rows * columns, 2 * inputs, 2 * taps * outputs).contiguous()
