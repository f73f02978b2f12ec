"""Time what runs on a device, without making it wait in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch


class DeviceTimer:
    """Marks in the device's work, and the time between them.

    On CUDA a mark is an event: it is reached when everything launched before it has ended, and the host goes on.
    """

    def __init__(self, device: torch.device) -> None:
        """Set the first mark, once the device has nothing left to do."""
        self._device = device
        synchronize(device)
        self._names: list[str] = []
        self._marks = [self._new_mark()]

    def mark(self, name: str) -> None:
        """Give everything launched since the mark before this name."""
        self._names.append(name)
        self._marks.append(self._new_mark())

    def seconds(self) -> dict[str, float]:
        """Wait for the last mark and return the seconds by name, in order."""
        synchronize(self._device)
        return dict(zip(self._names, (self._between(*two) for two in pairwise(self._marks)), strict=True))

    def _new_mark(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _between(self, start: Any, end: Any) -> float:
        return start.elapsed_time(end) / 1000 if self._device.type == "cuda" else end - start


def time_on_device(device: torch.device, function: Callable[[], object]) -> float:
    """Return the seconds that the device works on what `function` launches."""
    timer = DeviceTimer(device)
    function()
    timer.mark("all")
    return timer.seconds()["all"]


def synchronize(device: torch.device) -> None:
    """Wait until the device has done everything that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
