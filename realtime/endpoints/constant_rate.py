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
        self._start = 0.0
        self._held: list[T] = []  # the item of the tick `given`, if there is one
        self.given = 0  # ticks that have their item

    @property
    def start(self) -> float | None:
        """The time of the first item, and so of the first tick; None before it."""
        return self._start if self._held else None

    def add(self, item: T, time: float) -> list[T]:
        """Return the items of the ticks that `item` completes: the item before it, once for each tick.

        `time`, in seconds, does not go back.
        """
        if not self._held:
            self._start = time
        due = self._held * (self._tick(time) - self.given)
        self._held = [item]
        self.given += len(due)
        return due

    def end(self) -> list[T]:
        """Return the item of the last tick."""
        due, self._held = self._held, []
        self.given += len(due)
        return due

    def _tick(self, time: float) -> int:
        return math.floor((time - self._start) * self._rate + 0.5)
