"""When a driver's frame was captured, by what its sender says of its own clock (RTCP sender reports, RFC 3550, 6.4.1).

How the latency from glass to glass is measured in every session, without two clocks that agree:

1. A sender report says which RTP timestamp it was when the report left. The fastest of them gives a line from RTP
   timestamps to this machine's clock that is late by the shortest way up.
2. The page asks for this machine's time over the data channel. The fastest question gives the same for the page's
   clock: late by the shortest way up. What both are late by cancels out, so each picture's RTP timestamp, which the
   page is told for each picture that comes back, is a time of the page's own clock.
3. The page notes when it is handed each picture to show (`requestVideoFrameCallback`) and takes the difference.

It begins when the browser has the camera's picture and ends at that callback; exposure and the camera's own delay
before it, and the screen's after it, are not in it. Error: 1 ms, to which RTP timestamps are rounded, and the
difference between the two fastest ways up, 1 ms on one machine and a part of the jitter on a network. Held against a
time code in a camera's picture (tests/browser/test_live.py), latencies were 1 ms too long at the median and few more
than 2 ms off, also with 2 % of the packets lost, 40 ms of round trip and 5 ms of jitter. Pictures that a page draws
itself, as the demo driver's, are dated by Chromium's guess at their clock: 3 to 6 ms too long.
"""

from __future__ import annotations

from collections import deque

from realtime.core.frame import CLOCK_RATE

TIMESTAMPS = 1 << 32  # then they begin again, after 13 hours
WINDOW_SECONDS = 30.0  # of reports: long enough for a fast one, short enough that clocks do not drift apart


def ticks_between(earlier: int, later: int) -> int:
    """From one RTP timestamp to another, at most half their range apart; negative where the later is the earlier."""
    return (later - earlier + TIMESTAMPS // 2) % TIMESTAMPS - TIMESTAMPS // 2


class CaptureClock:
    """One sender's RTP timestamps as seconds of this machine's clock, late by the shortest way from there."""

    def __init__(self, rate: int = CLOCK_RATE) -> None:
        """`rate` is that of the timestamps, in Hz."""
        self._rate = rate
        self._reports: deque[tuple[int, float]] = deque()  # each slower than all before it: the first is the fastest

    def report(self, timestamp: int, arrived: float) -> None:
        """A report says that it left at `timestamp`; here it was `arrived`."""
        while self._reports and self._dated(self._reports[-1], timestamp) >= arrived:
            self._reports.pop()
        self._reports.append((timestamp, arrived))
        while self._reports[0][1] < arrived - WINDOW_SECONDS:
            self._reports.popleft()

    def captured(self, timestamp: int) -> float | None:
        """When the frame of this timestamp was captured; None before the first report."""
        return self._dated(self._reports[0], timestamp) if self._reports else None

    def _dated(self, report: tuple[int, float], timestamp: int) -> float:
        reported, arrived = report
        return arrived + ticks_between(reported, timestamp) / self._rate
