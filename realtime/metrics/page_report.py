"""What a page tells of the pictures that it was shown. It may send anything, so every number is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_LATENCIES = 300  # in one report
LONGEST_LATENCY = 60_000.0  # ms
LONGEST_VOICE = 1000.0  # ms
LARGEST = 1e12


class BadView(ValueError):
    """A report that cannot be meant; the text says why."""


@dataclass(frozen=True)
class PageReport:
    """Since the report before: `latencies`. Since the session's start: `freezes` and `dropped`. The rest: now."""

    latencies: tuple[float, ...] = ()  # ms from glass to glass, of each new picture
    fps: float = 0.0  # pictures shown per second
    freezes: int = 0  # pictures shown for longer than three intervals
    dropped: int = 0  # pictures that came and were not shown
    up: float = 0.0  # bit/s, of the camera's video
    down: float = 0.0  # bit/s, of the puppet's
    voice: float = 0.0  # ms that it plays the voice later than it shows pictures that came with it; 0: there is none

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> PageReport:
        """Of a message; what it leaves out is 0. BadView where a number is none, or out of reach."""
        latencies = content.get("latencies", [])
        if not isinstance(latencies, list) or len(latencies) > MOST_LATENCIES:
            raise BadView(f"'latencies' must be a list of at most {MOST_LATENCIES} numbers of milliseconds.")
        return cls(
            tuple(_number("latencies", value, LONGEST_LATENCY) for value in latencies),
            fps=_number("fps", content.get("fps", 0)),
            freezes=int(_number("freezes", content.get("freezes", 0))),
            dropped=int(_number("dropped", content.get("dropped", 0))),
            up=_number("up", content.get("up", 0)),
            down=_number("down", content.get("down", 0)),
            voice=_number("voice", content.get("voice", 0), LONGEST_VOICE),
        )


def _number(name: str, value: Any, largest: float = LARGEST) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
        raise BadView(f"{name!r} must be from 0 to {largest:g}, not {str(value)[:40]!r}.")
    return float(value)
