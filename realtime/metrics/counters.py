"""Counters that only grow; Prometheus reads them now and then and takes the differences."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0)


class Histogram:
    """The number of values (seconds) in each interval between BOUNDS, and their sum."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)  # the last interval has no upper bound
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def __iadd__(self, other: Histogram) -> Histogram:
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum
        return self


@dataclass(eq=False)
class Counters:
    """The counts of one or more sessions."""

    frames: Counter[str] = field(default_factory=Counter)  # by fate
    errors: Counter[str] = field(default_factory=Counter)  # by kind
    sessions_ended: Counter[str] = field(default_factory=Counter)  # of sessions, by reason
    stages: defaultdict[str, Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    glass_to_glass: Histogram = field(default_factory=Histogram)
    encoded_bytes: int = 0

    def __iadd__(self, other: Counters) -> Counters:
        self.frames += other.frames
        self.errors += other.errors
        self.sessions_ended += other.sessions_ended
        for name, histogram in other.stages.items():
            self.stages[name] += histogram
        self.glass_to_glass += other.glass_to_glass
        self.encoded_bytes += other.encoded_bytes
        return self


def total(parts: Iterable[Counters]) -> Counters:
    """Return the sum of all `parts` as new Counters."""
    added = Counters()
    for counters in parts:
        added += counters
    return added
