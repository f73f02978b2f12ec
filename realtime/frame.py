"""A driver's frame on its way through a session, and the time that each stage took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import av


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded video frame, which brings its own `pts` and `time_base`; times are monotonic seconds."""

    video: av.VideoFrame
    decoded: float  # when the decoder handed it over
    decoding: float = 0.0  # how long the decoder worked on it


class Stamps:
    """How long each stage of one frame took, in seconds of `clock`; the first stage began `earlier` seconds ago."""

    def __init__(self, clock: Callable[[], float], earlier: float = 0.0) -> None:
        self._clock = clock
        self._last = clock() - earlier
        self.spent: dict[str, float] = {}  # seconds by stage, in the order of the stages

    @property
    def now(self) -> float:
        """The time of the last mark."""
        return self._last

    def mark(self, stage: str) -> None:
        """`stage` ends here and took the time since the mark before."""
        now = self._clock()
        self.spent[stage] = now - self._last
        self._last = now
