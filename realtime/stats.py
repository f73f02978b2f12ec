"""What a session counts and measures, and the report of it."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

STAGES = ("decode", "track", "motion", "animate", "encode", "server")
PERCENTILES = (50, 95, 99)
SAMPLES = 300  # ten seconds at 30 fps
RATE_SECONDS = 2.0


def percentiles(samples: Iterable[float]) -> dict[str, float]:
    """{"p50", "p95", "p99"} of `samples` by nearest rank; zeros where there is none."""
    ordered = sorted(samples)
    if not ordered:
        return {f"p{p}": 0.0 for p in PERCENTILES}
    return {f"p{p}": ordered[math.ceil(len(ordered) * p / 100) - 1] for p in PERCENTILES}


class Rate:
    """Events per second over the last two seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def add(self, time: float) -> None:
        self._times.append(time)
        self._forget(time)

    def at(self, time: float) -> float:
        """Events per second as seen at `time` (seconds, of the same clock as the events)."""
        self._forget(time)
        span = RATE_SECONDS if not self._times else min(RATE_SECONDS, time - self._times[0])
        return (len(self._times) - 1) / span if len(self._times) > 1 and span > 0 else 0.0

    def _forget(self, time: float) -> None:
        while self._times and self._times[0] <= time - RATE_SECONDS:
            self._times.popleft()


class SessionStats:
    """Counters, rates and stage times of one session, for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages = {stage: deque[float](maxlen=SAMPLES) for stage in STAGES}
        self._rates = {"in": Rate(), "out": Rate()}
        self._frames = {"received": 0, "animated": 0, "sent": 0, "dropped": 0}
        self._warnings: dict[str, str] = {}
        self.first_frame: float | None = None  # when the first one was received

    def receive(self, time: float) -> None:
        """A driver's frame arrived."""
        with self._lock:
            if self.first_frame is None:
                self.first_frame = time
            self._frames["received"] += 1
            self._rates["in"].add(time)

    def animate(self, spent: Mapping[str, float]) -> None:
        """A driver's frame was animated; `spent` is seconds by stage."""
        with self._lock:
            self._frames["animated"] += 1
            for stage, seconds in spent.items():
                self._stages[stage].append(seconds * 1000)

    def send(self, time: float, server: float | None) -> None:
        """A picture was sent, `server` seconds after its driver's frame was decoded (None: it had no driver)."""
        with self._lock:
            self._frames["sent"] += 1
            self._rates["out"].add(time)
            if server is not None:
                self._stages["server"].append(server * 1000)

    def drop(self) -> None:
        """A driver's frame was left out because the sender does not keep up."""
        with self._lock:
            self._frames["dropped"] += 1

    def warn(self, kind: str, sentence: str) -> bool:
        """Show `sentence` from now on; True where nothing of this kind was shown before."""
        with self._lock:
            new = kind not in self._warnings
            self._warnings.setdefault(kind, sentence)
            return new

    def report(self, time: float, dropped: int) -> dict[str, Any]:
        """The numbers at `time`; `dropped` adds the frames that a newer one replaced. Stage times in milliseconds."""
        with self._lock:
            return {
                "fps": {name: round(rate.at(time), 1) for name, rate in self._rates.items()},
                "frames": {**self._frames, "dropped": self._frames["dropped"] + dropped},
                "stages_ms": {
                    stage: {name: round(value, 2) for name, value in percentiles(samples).items()}
                    for stage, samples in self._stages.items()
                },
                "warnings": list(self._warnings.values()),
            }
