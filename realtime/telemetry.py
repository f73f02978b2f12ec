"""What a session reports about itself: statistics for its page, counters for /metrics, a summary for the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.core.animator import Animator
from realtime.core.frame import Trace
from realtime.endpoints.output import OutputName
from realtime.metrics.counters import Counters
from realtime.metrics.page_report import PageReport
from realtime.metrics.session_stats import SessionStats
from realtime.render_loop import RenderLoop
from realtime.voice import Voice
from realtime.webrtc.broadcast import Broadcast
from realtime.webrtc.capture_clock import CaptureClock
from realtime.webrtc.viewers import Viewers

OUTPUTS: tuple[OutputName, ...] = ("virtual_camera", "recording")  # always in the statistics; null if there is none

State = Literal["idle", "connecting", "live", "lost", "error"]


@dataclass(eq=False)
class Telemetry:
    """Measures one session and reports it. Used on the event loop, but for `record_sent`."""

    animator: Animator
    state: Callable[[], State]
    render_loop: RenderLoop
    broadcast: Broadcast
    viewers: Viewers
    voice: Voice
    session_stats: SessionStats
    capture_clock: CaptureClock = field(default_factory=CaptureClock)
    rtp_timestamp: Callable[[int], int | None] = lambda pts: None  # of the packet of this pts (90 kHz), if known
    start: float = field(default_factory=time.monotonic)

    def record_sent(self, size: int, trace: Trace | None) -> None:
        """Count a picture of `size` bytes that leaves now. `trace`: of its driver's frame (None: there was none)."""
        now = time.monotonic()
        self.session_stats.record_sent(now, trace, size)
        if trace and (captured := self._captured(trace)) is not None:
            self.voice.sync.show(now - captured)

    def record_page_report(self, report: PageReport) -> None:
        """Keep what the page measured."""
        self.session_stats.record_page_report(report)
        if report.voice:
            self.voice.sync.playout = report.voice / 1000

    def stats(self) -> dict[str, Any]:
        """Return the numbers of GET /session/{id}/stats; stage times in milliseconds."""
        outputs: dict[str, Any] = {output.name: output.report() for output in self.render_loop.outputs}
        return {
            "state": self.state(),
            "animator": self.animator.name,
            "rate": self.render_loop.frame_rate.pace.rate,
            "hint": self.render_loop.hint,
            "frozen": self.render_loop.freeze.wanted,
            "target_mbps": round(self.broadcast.bitrate / 1e6, 2),
            "viewers": len(self.viewers),
            "audio": self.voice.report(),
            **dict.fromkeys(OUTPUTS),
            **outputs,
            **self.session_stats.report(time.monotonic(), self.render_loop.inbox.dropped),
        }

    def frames(self, since: float) -> dict[str, Any]:
        """Return what the page needs to measure latency (see webrtc/capture_clock.py).

        `time` is this machine's, in seconds. `frames` has one row for each driver's frame whose picture was sent after
        `since`: [RTP timestamp of the picture, captured, received, sent].
        """
        rows = map(self._row, self.session_stats.traces(since))
        return {"time": time.monotonic(), "frames": [row for row in rows if row]}

    def _row(self, trace: Trace) -> list[float] | None:
        timestamp, captured = self.rtp_timestamp(trace.pts), self._captured(trace)
        if timestamp is None or captured is None:
            return None
        return [timestamp, *(round(at, 4) for at in (captured, trace.reception.released, trace.sent))]

    def _captured(self, trace: Trace) -> float | None:
        timestamp = trace.reception.timestamp
        return None if timestamp is None else self.capture_clock.captured(timestamp)

    def counters(self) -> Counters:
        """Return all counts so far, for /metrics."""
        return self.session_stats.counters(self.render_loop.inbox.dropped)

    def summary(self, reason: str | None) -> dict[str, Any]:
        """Return a line for the log: numbers and names of kinds only, nothing of who or what was in the pictures."""
        report = self.stats()
        return {
            "reason": reason,
            "seconds": round(time.monotonic() - self.start, 1),
            "codec": self.broadcast.codec,
            "errors": dict(self.counters().errors),
            **{key: report[key] for key in ("animator", "frames", "drops", "stages_ms", "page")},
        }
