"""What takes how long on a device, without making it wait in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch


class DeviceTimer:
    """Marks in the device's work, and the time between them.

    On CUDA a mark is an event: what is launched before it has ended when the device comes to it, and the host goes on.
    """

    def __init__(self, device: torch.device) -> None:
        """Begins with a first mark, when the device has nothing left to do."""
        self._device = device
        wait(device)
        self._names: list[str] = []
        self._marks = [self._mark()]

    def lap(self, name: str) -> None:
        """What was launched since the mark before is `name`."""
        self._names.append(name)
        self._marks.append(self._mark())

    def seconds(self) -> dict[str, float]:
        """Of each lap, in order. Waits for the last one."""
        wait(self._device)
        return dict(zip(self._names, (self._between(*two) for two in pairwise(self._marks)), strict=True))

    def _mark(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _between(self, start: Any, end: Any) -> float:
        return start.elapsed_time(end) / 1000 if self._device.type == "cuda" else end - start


def timed(device: torch.device, function: Callable[[], object]) -> float:
    """Seconds that the device takes for what the function asks of it."""
    laps = DeviceTimer(device)
    function()
    laps.lap("all")
    return laps.seconds()["all"]


def wait(device: torch.device) -> None:
    """Until the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
