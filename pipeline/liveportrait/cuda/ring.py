"""Buffers in pinned host memory and on the device, used in turn.

The copying streams touch only these buffers; all other memory of PyTorch is used on PyTorch's own stream alone. So
PyTorch may reuse its memory freely, and a backend may overwrite what it returned.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.liveportrait.cuda.device import Gpu

Bytes = NDArray[np.uint8]

GROWTH = 1 << 20  # bytes: sizes are multiples of this, so that buffers seldom grow
SLOTS = 2  # in a ring: one is filled while the other is being copied

T = TypeVar("T")


class Ring:
    """A few buffers, used in turn: made when first needed, replaced when too small, and never freed."""

    def __init__(self, make: Callable[[int], Buffer], count: int = SLOTS) -> None:
        """Take what makes a buffer of a number of bytes."""
        self._make, self._next = make, 0
        self._slots: list[Buffer | None] = [None] * count

    def take(self, size: int) -> Buffer:
        """Wait for the buffer that was used longest ago, and return it with room for `size` bytes."""
        index, self._next = self._next, (self._next + 1) % len(self._slots)
        slot = self._slots[index]
        if slot:
            slot.settle()
        if not slot or slot.size < size:
            slot = self._slots[index] = self._make(-(-size // GROWTH) * GROWTH)
        return slot


class Once(Generic[T]):
    """Calls a function once and keeps the result; for any thread."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function, self._lock = function, threading.Lock()
        self._results: list[T] = []

    def __call__(self) -> T:
        with self._lock:
            if not self._results:
                self._results.append(self._function())
            return self._results[0]


class Buffer:
    """The same number of bytes in pinned host memory and on the device; zeros at first."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        self._gpu, self.size = gpu, size
        self.host, self.device = gpu.pinned(size), torch.zeros(size, dtype=torch.uint8, device=gpu.device)
        self._copied, self._free = gpu.event(), gpu.event()
        self._last: Callable[[], object] = lambda: None
        gpu.compute.record(self._copied)  # PyTorch may have given memory that is still in use there
        gpu.copy_in.wait(self._copied)

    def settle(self) -> None:
        """Wait until the device no longer needs it, and take out what it holds for the host."""
        self._last()

    def upload(self, parts: Sequence[NDArray[Any]], starts: Sequence[int]) -> None:
        """Copy each part to the byte where it starts; `compute` continues when all are on the device."""
        host = self.host.numpy()
        for part, start in zip(parts, starts, strict=True):
            host[start : start + part.nbytes].view(part.dtype).reshape(part.shape)[...] = part
        gpu = self._gpu
        gpu.copy(self.device, self.host, starts[-1] + parts[-1].nbytes, gpu.copy_in)
        gpu.copy_in.record(self._copied)
        gpu.compute.wait(self._copied)

    def release(self) -> None:
        """Free it after an upload, as soon as `compute` has done what is queued now."""
        self._gpu.compute.record(self._free)
        self._last = functools.partial(self._gpu.wait, self._free)

    def download(self, size: int) -> Callable[[], Bytes]:
        """Return a function that returns a copy of the first bytes after all that is queued on `compute` now."""
        gpu = self._gpu
        gpu.compute.record(self._copied)
        gpu.copy_out.wait(self._copied)
        gpu.copy(self.host, self.device, size, gpu.copy_out)
        gpu.copy_out.record(self._free)
        self._last = read = Once(functools.partial(self._taken, size))
        return read

    def _taken(self, size: int) -> Bytes:
        self._gpu.wait(self._free)
        return self.host.numpy()[:size].copy()
