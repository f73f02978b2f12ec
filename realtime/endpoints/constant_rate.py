"""What comes at any time, laid on ticks of a constant rate. Pure: items and times in, items out."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

T = TypeVar("T")


class ConstantRate(Generic[T]):
    """Each tick gets the newest item up to half a tick after it; where none is new, the one before is repeated.

    With the half, items that come at about this rate get a tick each, however their times tremble.
    """

    def __init__(self, rate: int) -> None:
        """`rate`: ticks per second."""
        self._rate = rate
        self._start = 0.0
        self._held: list[T] = []  # the item of the tick `given`, once there is one
        self.given = 0  # ticks that have got theirs

    @property
    def start(self) -> float | None:
        """The time of the first tick, which is that of the first item; None before it."""
        return self._start if self._held else None

    def add(self, item: T, time: float) -> list[T]:
        """What the next ticks get, now that nothing can come for them any more: one item, as often as it is shown.

        `time`, in seconds, does not go back.
        """
        if not self._held:
            self._start = time
        due = self._held * (self._tick(time) - self.given)
        self._held = [item]
        self.given += len(due)
        return due

    def end(self) -> list[T]:
        """What the last tick gets."""
        due, self._held = self._held, []
        self.given += len(due)
        return due

    def _tick(self, time: float) -> int:
        return math.floor((time - self._start) * self._rate + 0.5)
