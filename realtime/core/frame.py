"""A driver's frame on its way through a session, and when it was where. Times are monotonic seconds of this machine."""

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
SEND_TICKS = 1 << 18  # a second in abs-send-time, which has 24 bits and so begins again after 64 seconds
SEND_WRAP = 1 << 24


@dataclass(frozen=True)
class Reception:
    """How a frame came over the network."""

    departed: int | None  # when its first packet left, by the sender's time of day, as RTP's abs-send-time
    arrived: float  # when its last packet was there
    released: float  # when the jitter buffer gave it away: later where a frame before it was not complete
    timestamp: int | None = None  # of its packets: when it was captured, by RTP's clock of the sender

    def on_the_way(self, epoch: float) -> float | None:
        """Seconds from its departure to its release, where the sender is on this machine.

        `epoch` is the time of day, in seconds since 1970, at which the monotonic clock was 0.
        """
        if self.departed is None:
            return None
        # The Network Time Protocol counts from 1900, a multiple of 64 seconds before.
        return ((epoch + self.released) * SEND_TICKS - self.departed) % SEND_WRAP / SEND_TICKS


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded video frame, which brings its own `pts` and `time_base`."""

    video: av.VideoFrame
    decoded: float  # when the decoder handed it over
    reception: Reception


@dataclass(frozen=True)
class Trace:
    """What became of one frame. `spent` is seconds by stage, and adds up to `encoded - reception.released`."""

    reception: Reception
    decoded: float
    seen: float  # the time that the tracker and the animator were given
    encoded: float
    spent: Mapping[str, float]
    sent: float = 0.0  # when the event loop took the packets of its picture to send them
    pts: int = 0  # of its picture's packets, 90 kHz


class Stamps:
    """How long each stage of one frame took, in seconds of `clock`; the first stage began at `start`."""

    def __init__(self, clock: Callable[[], float], start: float) -> None:
        self._clock = clock
        self._last = start
        self.spent: dict[str, float] = {}  # seconds by stage, in the order of the stages

    @property
    def now(self) -> float:
        """The time of the last mark."""
        return self._last

    def mark(self, stage: str, time: float | None = None) -> None:
        """`stage` ends now, or ended at `time`, and took the time since the mark before; parts of a stage add up."""
        now = self._clock() if time is None else time
        self.spent[stage] = self.spent.get(stage, 0.0) + now - self._last
        self._last = now


def decoded(video: av.VideoFrame) -> tuple[Picture, Planes | None]:
    """The RGB picture of a decoded frame of any size and pixel format; with its planes where it has them as I420."""
    even = video.width % 2 == 0 and video.height % 2 == 0
    if video.format.name != "yuv420p" or not even:
        return cast(Picture, video.to_ndarray(format="rgb24")), None
    planes = cast(Planes, video.to_ndarray())
    return to_picture(planes), planes


def to_video_frame(planes: Planes, pts: int) -> av.VideoFrame:
    """The frame to encode, at `pts` (90 kHz)."""
    video = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    video.pts, video.time_base = pts, TIME_BASE
    return video
