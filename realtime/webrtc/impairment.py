"""A simulated bad network: it loses and delays datagrams, in both directions alike."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

QUEUE = 1000  # datagrams on their way at most; more are lost, as in a router


class BadImpairment(ValueError):
    """A number is not valid; the text says what to change."""


@dataclass(frozen=True)
class Impairment:
    """What happens to datagrams. Raises BadImpairment if a number is not valid."""

    loss: float = 0.0  # share of datagrams lost each way, 0..1
    delay: float = 0.0  # seconds added to the round trip, half of it each way
    jitter: float = 0.0  # seconds by which each delay may be more or less; the order stays, as in a queue

    def __post_init__(self) -> None:
        if not 0 <= self.loss < 1:
            raise BadImpairment(f"Loss must be 0 to below 100 %, not {100 * self.loss:g} %.")
        if not 0 <= self.delay <= 10 or not 0 <= self.jitter <= 10:
            delay, jitter = 1000 * self.delay, 1000 * self.jitter
            raise BadImpairment(f"Delay and jitter must be 0 to 10000 ms, not {delay:g} and {jitter:g}.")


class Link:
    """Decides for one direction what happens to each datagram; the same seed gives the same decisions."""

    def __init__(self, impairment: Impairment, seed: int) -> None:
        self._impairment = impairment
        self._random = random.Random(seed)
        self._last = 0.0

    def arrival(self, now: float) -> float | None:
        """Return when a datagram sent at `now` arrives, never before the last one; None if it is lost."""
        bad = self._impairment
        lost = self._random.random() < bad.loss
        late = bad.delay / 2 + self._random.uniform(-1, 1) * bad.jitter
        if lost:
            return None
        self._last = max(self._last, now, now + late)
        return self._last


class Delivery:
    """Delivers datagrams when the link says. Lives on the event loop."""

    def __init__(self, link: Link, deliver: Callable[..., None]) -> None:
        self._link = link
        self._deliver = deliver
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._loop = asyncio.get_running_loop()

    def send(self, *datagram: Any) -> None:
        """Call `deliver` with the same arguments later, or never."""
        now = self._loop.time()
        arrival = self._link.arrival(now)
        if arrival is not None and len(self._waiting) < QUEUE:
            self._waiting.append(datagram)
            self._loop.call_later(arrival - now, self._next)

    def _next(self) -> None:
        self._deliver(*self._waiting.popleft())
