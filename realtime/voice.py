"""The driver's voice, sent on with the picture of its moment. Opus packets go through as they came; none is kept.

A voice is faster than its picture: nothing has to be drawn. So it waits until the picture of its moment leaves, less
the time by which the listener plays voices later than it shows pictures. The page tells that of its browser, which
counts how long it holds both. Pictures never wait for the voice.

The pictures' way, from capture to departure, is known by their sender's reports (webrtc/capture_clock.py). The voice is
dated by its packets themselves: they leave when their last sample was spoken, so the fastest of them give a line from
RTP timestamps to this machine's clock that is late by one packet and by the shortest way up. By that way the pictures'
line is late, too, so it cancels out. The delays of camera and microphone are in none of this.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RtpPacket
from av.audio.codeccontext import AudioCodecContext

from realtime.endpoints.output import Output
from realtime.webrtc.capture_clock import CaptureClock, ticks_between
from realtime.webrtc.codec import Packet

SAMPLE_RATE = 48000  # RTP's clock for Opus, Hz (RFC 7587, 4.1)
TIME_BASE = Fraction(1, SAMPLE_RATE)
PLAYOUT_SECONDS = 0.05  # that a browser plays a packet of voice later than it shows one of a picture, until it tells
BEARABLE_SECONDS = 0.01  # that a wait may be off: each lateness makes a listener's buffer grow for seconds
LATER_SECONDS, SOONER_SECONDS = 0.0002, 0.001  # that it changes by from one packet to the next
LONGEST_SECONDS = 1.0  # that a voice may be late or wait; beyond it its sender's clock was set anew
RESTART = 10 * SAMPLE_RATE  # ticks: a packet so far behind is a sender that started anew, not a late packet
PICTURES = 60  # whose latency counts
RECENT = 50  # packets that the report is of
BACKLOG = 200  # packets that wait for their moment at most: two seconds

SILK, HYBRID, CELT = (10, 20, 40, 60), (10, 20), (2.5, 5, 10, 20)  # ms of one Opus frame


@dataclass(frozen=True)
class VoicePacket:
    """A packet of Opus (RFC 6716), and when it came."""

    data: bytes
    timestamp: int  # RTP's, of its first sample
    arrived: float  # monotonic seconds

    @property
    def duration(self) -> float:
        """Seconds of sound, by its first bytes (RFC 6716, 3.1)."""
        config, count = self.data[0] >> 3, self.data[0] & 3
        sizes = SILK if config < 12 else HYBRID if config < 16 else CELT
        frames = 1 if count == 0 else 2 if count < 3 else self.data[1] & 63 if len(self.data) > 1 else 0
        return sizes[config % len(sizes)] * frames / 1000


class VoiceBuffer:
    """In the place of aiortc's JitterBuffer, which holds voice back for 80 ms, for one voice.

    Each packet is handed on as it comes: it waits for its picture anyway, and who listens has a buffer of their own.
    Nothing is left for aiortc's decoder.
    """

    def __init__(
        self,
        payload_type: int | None,
        on_voice: Callable[[VoicePacket], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._payload_type = payload_type
        self._on_voice = on_voice
        self._clock = clock
        self._newest: int | None = None

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Hand on the packet, unless a later one was before it."""
        ahead = RESTART if self._newest is None else ticks_between(self._newest, packet.timestamp)
        late = -RESTART < ahead <= 0
        if packet.payload and packet.payload_type == self._payload_type and not late:
            self._newest = packet.timestamp
            self._on_voice(VoicePacket(packet.payload, packet.timestamp, self._clock()))
        return False, None


class VoiceTrack(MediaStreamTrack):
    """A voice on its way to one peer."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._queue: asyncio.Queue[tuple[Packet, float]] = asyncio.Queue(BACKLOG)

    def offer(self, voice: Packet, due: float) -> None:
        """Send it at `due` (monotonic seconds); where nothing is sent any more, drop it."""
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait((voice, due))

    async def recv(self) -> Packet:
        voice, due = await self._queue.get()
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        return voice


class SlewLimiter:
    """A number that follows another slowly; where it is near enough, it rests."""

    def __init__(self) -> None:
        self._value: float | None = None
        self._moving = False

    def follow(self, wanted: float) -> float:
        """The next value; the first one is there at once."""
        if self._value is None:
            self._value = wanted
        off = wanted - self._value
        self._moving = abs(off) > (LATER_SECONDS if self._moving else BEARABLE_SECONDS)
        if self._moving:
            self._value += max(-SOONER_SECONDS, min(off, LATER_SECONDS))
        return self._value


@dataclass(frozen=True)
class Moment:
    """Of one packet, in monotonic seconds."""

    arrived: float
    due: float  # is to leave
    shown: float  # its picture leaves
    heard: float  # later than its picture is seen; negative: sooner


class LipSync:
    """When each packet of a voice is to leave. Pure: numbers in, numbers out, all of them seconds."""

    def __init__(self) -> None:
        self.playout = PLAYOUT_SECONDS  # that the listener plays voices later than it shows pictures
        self._clock = CaptureClock(SAMPLE_RATE)
        self._pictures: deque[float] = deque(maxlen=PICTURES)
        self._latency: float | None = None  # from capture to departure of a picture; None: not known yet
        self._wait, self._way = (
            SlewLimiter(),
            SlewLimiter(),
        )  # from speech to departure of the voice, and of its picture

    def show(self, latency: float) -> None:
        """A picture left `latency` after it was captured. Any thread, one at a time."""
        self._pictures.append(max(0.0, min(latency, LONGEST_SECONDS)))
        self._latency = statistics.median(self._pictures)

    def place(self, packet: VoicePacket) -> Moment:
        """Of the newest packet. It leaves at once where the picture of its moment is over, or not known."""
        spoken, arrived, latency = self._spoken(packet), packet.arrived, self._latency
        if latency is None:
            return Moment(arrived, arrived, arrived + self.playout, 0.0)
        due = max(arrived, spoken + self._wait.follow(latency - self.playout))
        heard = due + self.playout - spoken - latency
        return Moment(arrived, due, spoken + self._way.follow(latency), heard)

    def _spoken(self, packet: VoicePacket) -> float:
        """When its first sample was."""
        begun = self._begun(packet)
        if packet.arrived - begun > LONGEST_SECONDS:
            self._clock = CaptureClock(SAMPLE_RATE)
            begun = self._begun(packet)
        return begun - packet.duration

    def _begun(self, packet: VoicePacket) -> float:
        self._clock.report(packet.timestamp, packet.arrived)
        return cast(float, self._clock.captured(packet.timestamp))


class Voice:
    """One session's voice: from its driver to its outputs, and to all that receive its pictures. Lives on the loop."""

    def __init__(self, send: Callable[[Packet, float], None], outputs: Callable[[], Iterable[Output]]) -> None:
        """`send` is given each packet and when it is to leave; `outputs` are those that are there now."""
        self._send = send
        self._outputs = outputs
        self._decoder: AudioCodecContext | None = None
        self._recent: deque[Moment] = deque(maxlen=RECENT)
        self.sync = LipSync()

    def on_packet(self, packet: VoicePacket) -> None:
        """Send it on."""
        moment = self.sync.place(packet)
        self._recent.append(moment)
        self._send(_to_send(packet), moment.due)
        self._add_to_outputs(packet, moment.shown)

    def report(self) -> dict[str, float] | None:
        """In milliseconds, at the median: what a voice waits here, and how much later than its picture it is heard."""
        recent = list(self._recent)
        if not recent or recent[-1].arrived < time.monotonic() - LONGEST_SECONDS:
            return None
        delay = statistics.median(moment.due - moment.arrived for moment in recent)
        error = statistics.median(moment.heard for moment in recent)
        return {"delay_ms": round(delay * 1000, 1), "error_ms": round(error * 1000, 1)}

    def _add_to_outputs(self, packet: VoicePacket, shown: float) -> None:
        outputs = tuple(self._outputs())
        if not outputs:
            self._decoder = None
            return
        self._decoder = self._decoder or _new_decoder()
        with contextlib.suppress(av.FFmpegError):  # whatever strangers send
            for frame in self._decoder.decode(_to_send(packet)):
                for output in outputs:
                    output.add_audio(frame, shown)


def _to_send(packet: VoicePacket) -> Packet:
    voice: Packet = av.Packet(packet.data)
    voice.pts, voice.time_base = packet.timestamp, TIME_BASE
    return voice


def _new_decoder() -> AudioCodecContext:
    decoder: Any = av.CodecContext.create("libopus", "r")
    decoder.format, decoder.layout, decoder.sample_rate = "s16", "stereo", SAMPLE_RATE
    return cast(AudioCodecContext, decoder)
