"""The frame rate that a session asks its driver for: as many as it can draw. Times are passed in, in seconds.

A session that is slower than the camera drops frames before it works on them (core/slot.py), but each of them was
encoded, sent and decoded for nothing, on cores that the slow stage could use. So the driver is asked for fewer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

RATES = (48, 40, 30, 24, 20, 15, 12, 10, 8, 6, 5, 4, 3, 2, 1)  # frames per second to ask for
LOOK_SECONDS = 2.0  # between decisions
LEAST_WORKS = 5  # frames to decide by
BUSY = 0.92  # the share of the time that a session may work
FULL = 0.97  # from this share on it cannot keep up
CALM_SECONDS = 8.0  # before a higher rate is tried
LONGEST_CALM_SECONDS = 120.0


def affordable(work: float) -> int:
    """Return the highest of RATES at which frames of `work` seconds each leave some time unused."""
    return next((rate for rate in RATES if rate * work <= BUSY), RATES[-1])


@dataclass(frozen=True)
class Pace:
    """The frame rate to ask for, and why."""

    rate: int | None = None  # frames per second; None: as many as there are
    drawn: float = 0.0  # the most that could be drawn per second when the rate was lowered
    offered: float = 0.0  # what the driver sent per second before it was asked for fewer

    @property
    def warning(self) -> str | None:
        """A sentence for the user; None if the driver may send all its frames."""
        if self.rate is None:
            return None
        return (
            f"Only {self.drawn:.2g} pictures a second could be drawn, so the camera is asked for {self.rate}, not "
            f"{self.offered:.0f}; close other programs, or start with a smaller --size."
        )


def decide(pace: Pace, work: float, offered: float) -> Pace:
    """Return the next pace, if a frame takes `work` seconds and the driver sends `offered` per second."""
    if pace.rate is None:
        return Pace(affordable(work), 1 / work, offered) if offered * work > FULL else pace
    if pace.rate * work > FULL:
        return Pace(affordable(work), 1 / work, pace.offered)
    bearable = pace.offered if pace.offered * work <= BUSY else affordable(work)
    higher = min(bearable, 2 * pace.rate)
    if higher <= pace.rate:
        return pace
    return Pace(int(higher) if higher < pace.offered else None, pace.drawn, pace.offered)


class FrameRateController:
    """Lowers the rate at once if frames come faster than they can be drawn; raises it, at most twofold, after a while.

    If a higher rate fails soon after it was tried, the next try waits twice as long: the session itself makes the load
    then, and the rate would go up and down for ever.
    """

    def __init__(self) -> None:
        self.pace = Pace()
        self._works: list[float] = []
        self._looked: float | None = None
        self._raised = -math.inf
        self._calm = CALM_SECONDS
        self._next_try = 0.0

    def add(self, work: float, offered: float, time: float) -> bool:
        """Record a frame of `work` seconds while `offered` came per second. Return whether the pace changed."""
        self._looked = time if self._looked is None else self._looked
        self._works.append(work)
        if time - self._looked < LOOK_SECONDS or len(self._works) < LEAST_WORKS:
            return False
        decided = decide(self.pace, median(self._works), offered)
        self._works.clear()
        self._looked = time
        return self._change(decided, time)

    def _change(self, pace: Pace, time: float) -> bool:
        before, rate = self.pace.rate or math.inf, pace.rate or math.inf
        if rate == before or (rate > before and time < self._next_try):
            return False
        if rate > before:
            self._raised = time
        else:
            failed = time - self._raised < self._calm
            self._calm = min(2 * self._calm, LONGEST_CALM_SECONDS) if failed else CALM_SECONDS
        self.pace, self._next_try = pace, time + self._calm
        return True
