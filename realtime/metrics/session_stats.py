"""What one session counts and measures."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pipeline.core.timing import percentiles
from realtime.core.frame import Trace
from realtime.metrics.counters import Counters, total
from realtime.metrics.page_report import PageReport

STAGES = ("decode", "wait", "track", "motion", "animate", "encode", "server")
SAMPLES = 300  # ten seconds at 30 fps
RATE_SECONDS = 2.0


class Rate:
    """The events per second over the last two seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def add(self, time: float) -> None:
        self._times.append(time)
        self._forget(time)

    def at(self, time: float) -> float:
        """Return the events per second at `time` (seconds, of the same clock as the events)."""
        self._forget(time)
        span = RATE_SECONDS if not self._times else min(RATE_SECONDS, time - self._times[0])
        return (len(self._times) - 1) / span if len(self._times) > 1 and span > 0 else 0.0

    def _forget(self, time: float) -> None:
        while self._times and self._times[0] <= time - RATE_SECONDS:
            self._times.popleft()


class SessionStats:
    """The counters, rates and stage times of one session. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages = {stage: deque[float](maxlen=SAMPLES) for stage in STAGES}
        self._traces: deque[Trace] = deque(maxlen=SAMPLES)
        self._rates = {"in": Rate(), "out": Rate()}
        self._counters = Counters()
        self._page_report: PageReport | None = None
        self._glass_to_glass: deque[float] = deque(maxlen=SAMPLES)
        self._warnings: dict[str, str] = {}
        self.first_frame: float | None = None  # when the first one was received

    def record_received(self, time: float) -> None:
        """Count a driver's frame that arrived at `time`."""
        with self._lock:
            if self.first_frame is None:
                self.first_frame = time
            self._counters.frames["received"] += 1
            self._rates["in"].add(time)

    def record_animated(self, spent: Mapping[str, float]) -> None:
        """Count a driver's frame that was animated; `spent` is seconds by stage."""
        with self._lock:
            self._counters.frames["animated"] += 1
            for stage, seconds in spent.items():
                self._add(stage, seconds)

    def record_sent(self, time: float, trace: Trace | None, size: int = 0) -> None:
        """Count a picture of `size` bytes that was sent. `trace`: of its driver's frame (None: there was none)."""
        with self._lock:
            self._counters.frames["sent"] += 1
            self._counters.encoded_bytes += size
            self._rates["out"].add(time)
            if trace is not None:
                self._add("server", time - trace.decoded)
                self._traces.append(replace(trace, sent=time))

    def _add(self, stage: str, seconds: float) -> None:
        self._stages[stage].append(seconds * 1000)
        self._counters.stages[stage].add(seconds)

    def traces(self, since: float = -math.inf) -> list[Trace]:
        """Return the traces of the last frames whose pictures were sent after `since`, the oldest first."""
        with self._lock:
            return [trace for trace in self._traces if trace.sent > since]

    def record_page_report(self, report: PageReport) -> None:
        """Keep what the page measured."""
        with self._lock:
            self._page_report = report
            self._glass_to_glass += report.latencies
            for latency in report.latencies:
                self._counters.glass_to_glass.add(latency / 1000)

    def rate_in(self, time: float) -> float:
        """Return the driver's frames per second."""
        with self._lock:
            return self._rates["in"].at(time)

    def record_dropped(self) -> None:
        """Count a driver's frame that was dropped because the sender does not keep up."""
        with self._lock:
            self._counters.frames["congested"] += 1

    def record_failed(self, kind: str) -> None:
        """Count a picture that could not be drawn; `kind` is the exception's name."""
        with self._lock:
            self._counters.frames["failed"] += 1
            self._counters.errors[kind] += 1

    def counters(self, replaced: int) -> Counters:
        """Return all counts so far. `replaced`: frames that a newer one replaced in the inbox."""
        with self._lock:
            counted = total([self._counters])
        counted.frames["replaced"] += replaced
        return counted

    def set_notice(self, kind: str, sentence: str | None) -> None:
        """Replace the warning of this kind; None removes it."""
        with self._lock:
            self._warnings.pop(kind, None)
            if sentence is not None:
                self._warnings[kind] = sentence

    def warn(self, kind: str, sentence: str) -> bool:
        """Add a warning, unless there is one of this kind. Return whether it was added."""
        with self._lock:
            new = kind not in self._warnings
            self._warnings.setdefault(kind, sentence)
            return new

    def report(self, time: float, replaced: int) -> dict[str, Any]:
        """Return the numbers at `time`; stage times in milliseconds. `replaced`: as in `counters`."""
        with self._lock:
            counts = self._counters.frames
            frames = {fate: counts[fate] for fate in ("received", "animated", "sent")}
            return {
                "fps": {name: round(rate.at(time), 1) for name, rate in self._rates.items()},
                "frames": {**frames, "dropped": counts["congested"] + replaced},
                "drops": {"replaced": replaced, "congested": counts["congested"]},
                "stages_ms": {stage: _rounded(samples) for stage, samples in self._stages.items()},
                "page": self._page_report and self._page(self._page_report),
                "warnings": list(self._warnings.values()),
            }

    def _page(self, report: PageReport) -> dict[str, Any]:
        return {
            "glass_to_glass_ms": _rounded(self._glass_to_glass) if self._glass_to_glass else None,
            "fps": round(report.fps, 1),
            "freezes": report.freezes,
            "dropped": report.dropped,
            "bitrate_mbps": {"up": round(report.up / 1e6, 2), "down": round(report.down / 1e6, 2)},
        }


def _rounded(samples: Iterable[float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in percentiles(samples).items()}
