"""Buffers that lie twice, in pinned memory on the host and on the device, and are used in turn.

The streams that copy see slots only; all else that PyTorch allocated is touched on PyTorch's own stream alone. So
PyTorch may reuse its memory as it likes, and a backend may overwrite what it returned.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.liveportrait.cuda.device import Gpu

Bytes = NDArray[np.uint8]

GROWTH = 1 << 20  # bytes: slots are multiples of it, so that they seldom grow
SLOTS = 2  # of a ring: one is filled while the other one is on its way

T = TypeVar("T")


class Reusable(Protocol):
    """What a ring holds."""

    size: int  # bytes

    def settle(self) -> None:
        """Wait until nobody needs what is in it."""


R = TypeVar("R", bound=Reusable)


class Ring(Generic[R]):
    """A few slots, used in turn: made when first needed, again when too small, and never given back."""

    def __init__(self, make: Callable[[int], R], count: int = SLOTS) -> None:
        """`make` gives a slot of so many bytes."""
        self._make, self._next = make, 0
        self._slots: list[R | None] = [None] * count

    def take(self, size: int) -> R:
        """The slot that was used longest ago, with room for `size` bytes; waits until it is free."""
        index, self._next = self._next, (self._next + 1) % len(self._slots)
        slot = self._slots[index]
        if slot:
            slot.settle()
        if not slot or slot.size < size:
            slot = self._slots[index] = self._make(-(-size // GROWTH) * GROWTH)
        return slot


class Once(Generic[T]):
    """Calls a function when first called, and keeps what it gave; for any thread."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function, self._lock = function, threading.Lock()
        self._results: list[T] = []

    def __call__(self) -> T:
        with self._lock:
            if not self._results:
                self._results.append(self._function())
            return self._results[0]


class Buffer:
    """As many bytes of pinned memory on the host as on the device; zeros at first."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        self._gpu, self.size = gpu, size
        self.host, self.device = gpu.pinned(size), torch.zeros(size, dtype=torch.uint8, device=gpu.device)
        self._copied, self._free = gpu.event(), gpu.event()
        self._last: Callable[[], object] = lambda: None
        gpu.compute.record(self._copied)  # PyTorch may have given memory that is in use there until now
        gpu.copy_in.wait(self._copied)

    def settle(self) -> None:
        """Wait until the device has done with it; what it holds for the host is taken out of it."""
        self._last()

    def upload(self, parts: Sequence[NDArray[Any]], starts: Sequence[int]) -> None:
        """Put each part where it starts, in bytes; `compute` goes on when all are on the device."""
        host = self.host.numpy()
        for part, start in zip(parts, starts, strict=True):
            host[start : start + part.nbytes].view(part.dtype).reshape(part.shape)[...] = part
        gpu = self._gpu
        gpu.copy(self.device, self.host, starts[-1] + parts[-1].nbytes, gpu.copy_in)
        gpu.copy_in.record(self._copied)
        gpu.compute.wait(self._copied)

    def release(self) -> None:
        """After an upload: `compute` needs it for what it has to do by now, and no longer."""
        self._gpu.compute.record(self._free)
        self._last = functools.partial(self._gpu.wait, self._free)

    def download(self, size: int) -> Callable[[], Bytes]:
        """The first bytes on the device as `compute` leaves them with what it has to do by now; a copy, when called."""
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
