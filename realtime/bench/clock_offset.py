"""The offset between two clocks, by asking across a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RESOLUTION = 1e-4  # seconds: what browsers round performance.now() to


@dataclass(frozen=True)
class Exchange:
    """The client asked the server for its time. Each clock's seconds."""

    asked: float
    told: float
    heard: float


@dataclass(frozen=True)
class Offset:
    """The server's clock minus the client's, in seconds, and by how much that may be wrong."""

    seconds: float
    error: float


def estimate_offset(exchanges: Sequence[Exchange]) -> Offset:
    """Of at least one exchange. Each bounds the offset: the server read its clock between question and answer.

    The offset is the middle of what all bounds allow (Marzullo 1984), its error half the width, at most half the best
    round trip. Where they contradict each other the clocks drift: then the best exchange decides, and the error grows.
    """
    low = max(exchange.told - exchange.heard for exchange in exchanges) - RESOLUTION
    high = min(exchange.told - exchange.asked for exchange in exchanges) + RESOLUTION
    if low <= high:
        return Offset((low + high) / 2, (high - low) / 2)
    best = min(exchanges, key=lambda exchange: exchange.heard - exchange.asked)
    half = (best.heard - best.asked) / 2
    return Offset(best.told - best.asked - half, half + low - high)
