"""Move pictures to the GPU and back without waiting: while one batch is computed, the next one is copied in and the
one before is copied out. One kernel each way does everything besides the networks (pixels.cu)."""

from __future__ import annotations

import functools
import itertools
import math
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.animator import Layout, Picture, Planes
from pipeline.imaging import badge
from pipeline.liveportrait.crop import CROP_SIZE
from pipeline.liveportrait.cuda.device import BLOCK, Gpu
from pipeline.liveportrait.cuda.ring import Buffer, Bytes, Ring
from pipeline.liveportrait.paste import Paster
from pipeline.liveportrait.pixels import CropRequest, Finish, HostPixels, Pixels, no_picture

KERNELS = Path(__file__).with_name("pixels.cu")
ALIGNMENT = 16  # bytes, of all parts of a buffer

# The kernels' tables; they must match pixels.cu.
TYPES = (torch.float32, torch.float16, torch.bfloat16)  # of drawn crops; the kernel gets the index
MATRIX = ("matrix", "<f4", 6)
REQUEST = np.dtype([("pixels", "<i8"), MATRIX, *((name, "<i4") for name in ("width", "height", "planar", "unused"))])
FINISH = np.dtype(
    [
        *((name, "<u8") for name in ("crop", "portrait", "light", "picture")),
        MATRIX,
        *((name, "<i4") for name in ("width", "height", "label_left", "label_top", "label_width", "label_height")),
        *((name, "<i4") for name in ("mirror", "unused")),
    ]
)


def overlapping_pixels(device: torch.device) -> Pixels:
    """Return pixels that travel while the device computes, where it can; call this in the thread that uses them.

    Raise MissingPackage on CUDA if cuda-python is not installed.
    """
    return CudaPixels(Gpu(device, KERNELS)) if device.type == "cuda" else HostPixels(device)


@dataclass(frozen=True, eq=False)
class _Job:
    """A finish, with the data on the device that it needs."""

    finish: Finish
    portrait: Tensor | None  # (H, W, 3) uint8
    label: badge.Label | None
    light: Tensor | None  # (2, h, w) float32: the label's veil and ink

    def shape(self, layout: Layout) -> tuple[int, ...]:
        """Return the shape of the array that the host gets."""
        height, width = self.finish.sides
        return (height, width, 3) if layout == "rgb" else (height // 2 * 3, width // 2 * 2)

    def row(self, crop: Tensor, start: int) -> tuple[Any, ...]:
        """Return the row for the kernel's table, FINISH."""
        addresses = (0 if tensor is None else tensor.data_ptr() for tensor in (crop, self.portrait, self.light))
        matrix = np.eye(3)[:2] if self.finish.paster is None else self.finish.paster.to_crop[:2]
        (height, width), label = self.finish.sides, self.label
        place = (label.margin, label.top(height), *label.ink.shape[1::-1]) if label else (0, 0, 0, 0)
        return *addresses, start, matrix.ravel(), width, height, *place, self.finish.mirror, 0


class CudaPixels:
    """`Pixels` for CUDA, within two levels of 255 of `HostPixels`. It waits only for buffers that are still in use.

    The functions that it returns may be called from any thread. What depends on a portrait or a badge alone stays on
    the device as long as the Paster or the Label lives.
    """

    def __init__(self, gpu: Gpu) -> None:
        """Take a GPU that was made with KERNELS."""
        self._gpu = gpu
        make = functools.partial(Buffer, gpu)
        self._views, self._tables, self._numbers, self._pictures = (Ring(make) for _ in range(4))
        self._constants: weakref.WeakKeyDictionary[Paster | badge.Label, Tensor] = weakref.WeakKeyDictionary()
        self._calls = itertools.count(1)

    def upload_crops(self, requests: Sequence[CropRequest]) -> Tensor:
        pixels = [view.picture if view.planes is None else view.planes for view in requests]
        starts = _starts([len(requests) * REQUEST.itemsize, *(each.nbytes for each in pixels)])
        table = np.array([_row(view, start) for view, start in zip(requests, starts[1:-1], strict=True)], REQUEST)
        slot = self._views.take(starts[-1])
        slot.upload([table, *pixels], starts[:-1])
        side = CROP_SIZE // 2
        inputs = torch.empty(len(requests), 3, side, side, device=self._gpu.device)
        grid = (side // BLOCK[0], side // BLOCK[1], len(requests))
        self._gpu.launch("upload_crops", grid, [slot.device.data_ptr(), inputs.data_ptr()])
        slot.release()
        return inputs

    def download(self, values: Tensor) -> Callable[[], Tensor]:
        values = values.contiguous()
        slot = self._numbers.take(values.nbytes)
        self._gpu.copy(slot.device, values, values.nbytes, self._gpu.compute)  # the next call may overwrite them
        read = slot.download(values.nbytes)
        return lambda: torch.from_numpy(read()).view(values.dtype).reshape(values.shape)

    def compose(
        self, crops: Tensor, finishes: Sequence[Finish], layout: Layout
    ) -> Callable[[], list[Picture | Planes]]:
        jobs = [self._job(finish) for finish in finishes]
        shapes, call = [job.shape(layout) for job in jobs], next(self._calls)
        starts = _starts([ALIGNMENT, *map(math.prod, shapes)])
        rows = [job.row(crop, start) for job, crop, start in zip(jobs, crops, starts[1:-1], strict=True)]
        table, target = self._tables.take(len(rows) * FINISH.itemsize), self._pictures.take(starts[-1])
        table.upload([np.array(rows, FINISH)], [0])
        arguments = [TYPES.index(crops.dtype), *crops.stride()[1:], layout == "i420", call]
        addresses = [table.device.data_ptr(), target.device.data_ptr()]
        self._gpu.launch("compose", _grid(finish.sides for finish in finishes), [*addresses, *map(int, arguments)])
        table.release()
        return functools.partial(_unpacked, target.download(starts[-1]), call, starts[1:], shapes)

    def _job(self, finish: Finish) -> _Job:
        paster, label = finish.paster, badge.label(*finish.sides) if finish.badge else None
        portrait = self._kept(paster, lambda: paster.picture) if paster else None
        light = self._kept(label, lambda: np.stack((label.veil, label.ink))) if label else None
        return _Job(finish, portrait, label, light)

    def _kept(self, owner: Paster | badge.Label, array: Callable[[], NDArray[Any]]) -> Tensor:
        if owner not in self._constants:
            self._constants[owner] = self._sent(array())
        return self._constants[owner]

    def _sent(self, array: NDArray[Any]) -> Tensor:
        """Return the array's bytes on the device, for use on `compute`."""
        slot = self._tables.take(array.nbytes)
        slot.upload([array], [0])
        copy = torch.empty(array.nbytes, dtype=torch.uint8, device=self._gpu.device)
        self._gpu.copy(copy, slot.device, array.nbytes, self._gpu.compute)
        slot.release()
        return copy


def _row(view: CropRequest, start: int) -> tuple[Any, ...]:
    """Return the row for the kernel's table, REQUEST."""
    height, width = view.picture.shape[:2]
    return start, np.linalg.inv(view.matrix)[:2].ravel(), width, height, view.planes is not None, 0


def _grid(sides: Iterable[tuple[int, int]]) -> tuple[int, int, int]:
    """Return the blocks for pictures of these heights and widths, one thread per pixel."""
    heights, widths = zip(*sides, strict=True)
    return -(-max(widths) // BLOCK[0]), -(-max(heights) // BLOCK[1]), len(widths)


def _starts(sizes: Sequence[int]) -> list[int]:
    """Return where consecutive parts of these sizes begin in a buffer, and where the last ends."""
    return list(itertools.accumulate((-(-size // ALIGNMENT) * ALIGNMENT for size in sizes), initial=0))


def _unpacked(
    read: Callable[[], Bytes], call: int, starts: Sequence[int], shapes: Sequence[tuple[int, ...]]
) -> list[Picture | Planes]:
    data = read()
    if data[:8].view(np.int64)[0] == call:
        no_picture()
    return [data[start:][: math.prod(shape)].reshape(shape) for start, shape in zip(starts, shapes, strict=False)]
