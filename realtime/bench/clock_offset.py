"""Estimate the offset between the clocks of two machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RESOLUTION = 1e-4  # seconds: browsers round performance.now() to it


@dataclass(frozen=True)
class Exchange:
    """One request of the client for the server's time; seconds of either clock."""

    asked: float
    told: float
    heard: float


@dataclass(frozen=True)
class Offset:
    """The server's clock minus the client's, and the error bound, in seconds."""

    seconds: float
    error: float


def estimate_offset(exchanges: Sequence[Exchange]) -> Offset:
    """Estimate the offset from at least one exchange.

    Each one bounds it: the server read its clock between request and reply. The offset is the middle of what all bounds
    allow (Marzullo 1984), and its error half the width, at most half the best round trip. If they contradict each other
    the clocks drift; then the best exchange decides, and the error grows.
    """
    low = max(exchange.told - exchange.heard for exchange in exchanges) - RESOLUTION
    high = min(exchange.told - exchange.asked for exchange in exchanges) + RESOLUTION
    if low <= high:
        return Offset((low + high) / 2, (high - low) / 2)
    best = min(exchanges, key=lambda exchange: exchange.heard - exchange.asked)
    half = (best.heard - best.asked) / 2
    return Offset(best.told - best.asked - half, half + low - high)
