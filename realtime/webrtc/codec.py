"""Video encoders (H264 by libx264, VP8 by libvpx), and the bitrate at which they run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any, Literal, TypeAlias, cast, get_args

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from pipeline.core.animator import Planes
from realtime.core.frame import TIME_BASE, to_video_frame

CodecName = Literal["H264", "VP8"]
CODECS: tuple[CodecName, ...] = get_args(CodecName)
Packet: TypeAlias = "av.Packet[Any]"

NOMINAL_RATE = Fraction(30)  # frames per second that the rate control starts with
BITS_PER_PIXEL = 0.4  # at NOMINAL_RATE: 3.1 Mbit/s for 512 x 512
NEVER = 1 << 24  # frames between keyframes that nobody requested
MINIMUM_BITRATE = 500_000
MAXIMUM_BITRATE = 8_000_000
LITTLE_LOSS, MUCH_LOSS = 0.02, 0.1  # shares of packets


def is_keyframe(codec: str, data: bytes) -> bool:
    """Return whether an encoded frame can be decoded without others.

    It is an IDR slice (H264, NAL unit type 5), or the frame type (VP8, RFC 6386 section 9.1).
    """
    if codec.upper() == "VP8":
        return bool(data) and not data[0] & 1
    return any(unit and unit[0] & 31 == 5 for unit in data.split(b"\0\0\1"))


def highest_bitrate(width: int, height: int) -> int:
    """Return the most bits per second that pictures of this size need at 30 fps."""
    worth = int(width * height * BITS_PER_PIXEL * NOMINAL_RATE)
    return max(MINIMUM_BITRATE, min(worth, MAXIMUM_BITRATE))


class TargetBitrate:
    """The bitrate that the path can carry: the lower of two figures.

    One is the receiver's estimate from delays (REMB, draft-alvestrand-rmcat-remb): followed down at once, up in steps.
    The other is from packet loss (draft-ietf-rmcat-gcc-02, 6): much loss lowers it, little loss raises it.
    """

    def __init__(self) -> None:
        self._estimated = self._by_loss = MAXIMUM_BITRATE

    @property
    def bits_per_second(self) -> int:
        return min(self._estimated, self._by_loss)

    def on_remb(self, bits_per_second: int) -> None:
        """Take the receiver's estimate of the path."""
        bounded = max(MINIMUM_BITRATE, min(bits_per_second, MAXIMUM_BITRATE))
        rise = max(0, bounded - self._estimated)
        self._estimated = min(bounded, self._estimated + rise // 4)

    def on_loss(self, share: float) -> None:
        """Take the share of packets, 0..1, that was lost since the receiver's last report."""
        if share > MUCH_LOSS:
            self._by_loss = max(MINIMUM_BITRATE, int(self.bits_per_second * (1 - share / 2)))
        elif share < LITTLE_LOSS:
            self._by_loss = min(MAXIMUM_BITRATE, int(self._by_loss * 1.05))


class VideoEncoder(ABC):
    """Encodes each picture to one packet, without delay. The first is a keyframe. For one thread."""

    def __init__(self) -> None:
        self._context: VideoCodecContext | None = None

    def encode(self, planes: Planes, pts: int, bitrate: int, keyframe: bool) -> Packet:
        """Return the packet of `planes` at `pts` (90 kHz, increasing), at about `bitrate` bits per second."""
        video = to_video_frame(planes, pts)
        context = self._context_for(video, min(bitrate, highest_bitrate(video.width, video.height)))
        video.pict_type = PictureType.I if keyframe else PictureType.NONE
        packet: Packet = av.Packet(b"".join(bytes(part) for part in context.encode(video)))
        packet.pts, packet.time_base = pts, TIME_BASE
        return packet

    def _context_for(self, video: av.VideoFrame, bitrate: int) -> VideoCodecContext:
        context = self._context
        if context is None or (context.width, context.height) != (video.width, video.height):
            context = self._open(video.width, video.height, bitrate)
        self._context = self._adapt(context, bitrate)
        return self._context

    @abstractmethod
    def _open(self, width: int, height: int, bitrate: int) -> VideoCodecContext: ...

    @abstractmethod
    def _adapt(self, context: VideoCodecContext, bitrate: int) -> VideoCodecContext:
        """Return the context that goes on at `bitrate`: the same one, or a new one."""


class H264Encoder(VideoEncoder):
    """libx264 on one thread, constrained baseline, fastest preset."""

    def _open(self, width: int, height: int, bitrate: int) -> VideoCodecContext:
        context = _new_context("libx264", width, height)
        # libx264 follows a changed bit_rate at once, but never exceeds the maxrate that it was opened with.
        highest = highest_bitrate(width, height)
        context.bit_rate = highest
        context.profile = "Baseline"
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "maxrate": str(highest),
            "bufsize": str(highest // 2),
        }
        context.open()
        return context

    def _adapt(self, context: VideoCodecContext, bitrate: int) -> VideoCodecContext:
        context.bit_rate = bitrate  # libx264 is reconfigured with the next frame, without a keyframe
        return context


class VP8Encoder(VideoEncoder):
    """libvpx on one thread: two threads that wait for one core take 50 times as long."""

    def _open(self, width: int, height: int, bitrate: int) -> VideoCodecContext:
        context = _new_context("libvpx", width, height)
        context.bit_rate = bitrate
        context.qmin, context.qmax = 2, 56
        context.options = {
            "deadline": "realtime",
            "cpu-used": "-8",
            "lag-in-frames": "0",
            "minrate": str(bitrate),
            "maxrate": str(bitrate),
            "bufsize": str(bitrate // 2),
            "overshoot-pct": "15",
            "undershoot-pct": "100",
            "static-thresh": "1",
        }
        context.open()
        return context

    def _adapt(self, context: VideoCodecContext, bitrate: int) -> VideoCodecContext:
        current = context.bit_rate or 0
        if abs(bitrate - current) <= current / 4:
            return context
        # libvpx takes its bitrate when it is opened, so a large change needs a new encoder, and with it a keyframe.
        return self._open(context.width, context.height, bitrate)


def new_encoder(name: CodecName) -> VideoEncoder:
    """Return an encoder of this codec."""
    return H264Encoder() if name == "H264" else VP8Encoder()


def _new_context(name: str, width: int, height: int) -> VideoCodecContext:
    context = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.framerate, context.time_base, context.gop_size = NOMINAL_RATE, TIME_BASE, NEVER
    context.thread_count = 1
    return context
