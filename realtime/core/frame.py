"""A driver's frame on its way through a session, with the times of its stages, in monotonic seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av

from pipeline.core.animator import Picture, Planes
from pipeline.imaging.i420 import to_picture

CLOCK_RATE = 90000  # RTP's clock for video, Hz (RFC 3551 section 5)
TIME_BASE = Fraction(1, CLOCK_RATE)
SEND_TICKS = 1 << 18  # a second in RTP's abs-send-time, whose 24 bits wrap after 64 seconds
SEND_WRAP = 1 << 24


@dataclass(frozen=True)
class Reception:
    """When a frame came over the network."""

    departed: int | None  # abs-send-time of its first packet: the sender's time of day
    arrived: float  # when its last packet was here
    released: float  # when the jitter buffer released it: later than `arrived` if an earlier frame was not complete
    timestamp: int | None = None  # RTP's, of its packets: when the sender captured it

    def on_the_way(self, epoch: float) -> float | None:
        """Return the seconds from departure to release. Only right if the sender is on this machine.

        `epoch` is the time of day, in seconds since 1970, at which the monotonic clock was 0.
        """
        if self.departed is None:
            return None
        # The Network Time Protocol counts from 1900, a multiple of 64 seconds before.
        return ((epoch + self.released) * SEND_TICKS - self.departed) % SEND_WRAP / SEND_TICKS


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded video frame with its own `pts` and `time_base`."""

    video: av.VideoFrame
    decoded: float  # when the decoder returned it
    reception: Reception


@dataclass(frozen=True)
class Trace:
    """The times of one frame. `spent` is seconds by stage; they add up to `encoded - reception.released`."""

    reception: Reception
    decoded: float
    seen: float  # the time that the tracker and the animator were given
    encoded: float
    spent: Mapping[str, float]
    sent: float = 0.0  # when the event loop began to send its picture's packet
    pts: int = 0  # of its picture's packet, 90 kHz


class Stamps:
    """A stopwatch for the stages of one frame. `clock` returns seconds; the first stage began at `start`."""

    def __init__(self, clock: Callable[[], float], start: float) -> None:
        self._clock = clock
        self.now = start  # the time of the last mark
        self.spent: dict[str, float] = {}  # seconds by stage, in the order of the stages

    def mark(self, stage: str, time: float | None = None) -> None:
        """End `stage` now, or at `time`. It took the time since the last mark; several marks of one stage add up."""
        now = self._clock() if time is None else time
        self.spent[stage] = self.spent.get(stage, 0.0) + now - self.now
        self.now = now


def decoded(video: av.VideoFrame) -> tuple[Picture, Planes | None]:
    """Return the RGB picture of a frame of any size and pixel format, and its planes if they are I420 of even sides."""
    even = video.width % 2 == 0 and video.height % 2 == 0
    if video.format.name != "yuv420p" or not even:
        return cast(Picture, video.to_ndarray(format="rgb24")), None
    planes = cast(Planes, video.to_ndarray())
    return to_picture(planes), planes


def to_video_frame(planes: Planes, pts: int) -> av.VideoFrame:
    """Return I420 `planes` as a frame to encode, at `pts` (90 kHz)."""
    video = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    video.pts, video.time_base = pts, TIME_BASE
    return video
