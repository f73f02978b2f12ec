"""How long each stage takes, frame by frame."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

T = TypeVar("T")

PERCENTILES = (50, 95, 99)


class Stopwatch:
    """Collects the durations of named stages: 4 bytes for each, so a film of an hour is no burden."""

    def __init__(self) -> None:
        self._milliseconds: dict[str, array[float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the `with` block as one run of the stage. A run that raises is not counted."""
        start = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - start)

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Pass the items on; getting each of them is one run of the stage."""
        iterator = iter(items)
        while True:
            start = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            self.add(name, time.perf_counter() - start)
            yield item

    def add(self, name: str, seconds: float) -> None:
        """Count one run of the stage."""
        self._milliseconds.setdefault(name, array("f")).append(seconds * 1000)

    def percentiles(self) -> dict[str, dict[str, float]]:
        """Milliseconds by stage: {"track": {"p50": 3.4, "p95": ..., "p99": ...}, ...}."""
        return {
            name: {f"p{rank}": round(float(np.percentile(runs, rank)), 3) for rank in PERCENTILES}
            for name, runs in self._milliseconds.items()
        }
