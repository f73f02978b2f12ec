"""When a driver's frame was captured, from its sender's RTCP sender reports (RFC 3550, 6.4.1).

How glass-to-glass latency is measured in every session, without synchronized clocks:

1. A sender report has the RTP timestamp at which it left. The fastest report maps RTP timestamps to this machine's
   clock, late by the shortest way up.
2. The page asks for this machine's time over the data channel. The fastest question maps the page's clock in the same
   way, late by the shortest way up. Both errors cancel out. The page gets the capture time of each picture that comes
   back, by its RTP timestamp, and so knows it in its own clock.
3. The page notes when it gets each picture to show (`requestVideoFrameCallback`) and takes the difference.

The measured time begins when the browser has the camera's picture and ends at that callback. It leaves out exposure and
delays inside the camera and the screen. Error: 1 ms, to which RTP timestamps are rounded, and the difference between
the two fastest ways up: 1 ms on one machine, a part of the jitter on a network (tests/browser/test_live.py holds it
against a time code). Pictures that a page draws itself are dated by a guess of Chromium: 3 to 6 ms too long.
"""

from __future__ import annotations

from collections import deque

from realtime.core.frame import CLOCK_RATE

TIMESTAMPS = 1 << 32  # values of an RTP timestamp: at 90 kHz they wrap after 13 hours
WINDOW_SECONDS = 30.0  # of reports that are kept: enough for a fast one, too few for clocks to drift


def ticks_between(earlier: int, later: int) -> int:
    """Return the ticks between two RTP timestamps at most half their range apart; negative if `later` is earlier."""
    return (later - earlier + TIMESTAMPS // 2) % TIMESTAMPS - TIMESTAMPS // 2


class CaptureClock:
    """Maps one sender's RTP timestamps to seconds of this machine's clock, late by the shortest way from there."""

    def __init__(self, rate: int = CLOCK_RATE) -> None:
        self._rate = rate  # of the timestamps, Hz
        # Each was slower than those before it: the first is the fastest.
        self._reports: deque[tuple[int, float]] = deque()

    def report(self, timestamp: int, arrived: float) -> None:
        """Record a sender report that left at `timestamp` and arrived here at `arrived` (seconds)."""
        while self._reports and self._dated(self._reports[-1], timestamp) >= arrived:
            self._reports.pop()
        self._reports.append((timestamp, arrived))
        while self._reports[0][1] < arrived - WINDOW_SECONDS:
            self._reports.popleft()

    def captured(self, timestamp: int) -> float | None:
        """Return when the frame of this timestamp was captured; None before the first report."""
        return self._dated(self._reports[0], timestamp) if self._reports else None

    def _dated(self, report: tuple[int, float], timestamp: int) -> float:
        reported, arrived = report
        return arrived + ticks_between(reported, timestamp) / self._rate
