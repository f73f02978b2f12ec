"""Puts items that come at any time on ticks of a constant rate. Pure: items and times in, items out."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

T = TypeVar("T")


class ConstantRate(Generic[T]):
    """Each tick gets the newest item up to half a tick after it; if none is new, the last one is repeated.

    Because of the half tick, items that come at about this rate get one tick each, even if their times jitter.
    """

    def __init__(self, rate: int) -> None:
        """`rate`: ticks per second."""
        self._rate = rate
        self._held: list[T] = []  # the item of the tick `given`, if there is one
        self.start: float | None = None  # the time of the first item, and so of the first tick
        self.given = 0  # ticks that have their item

    def add(self, item: T, time: float) -> list[T]:
        """Return the item before `item`, once for each tick until `time` (seconds, which do not go back)."""
        if self.start is None:
            self.start = time
        tick = math.floor((time - self.start) * self._rate + 0.5)
        due = self._held * (tick - self.given)
        self._held = [item]
        self.given += len(due)
        return due

    def end(self) -> list[T]:
        """Return the item of the last tick."""
        due, self._held, self.start = self._held, [], None
        self.given += len(due)
        return due
