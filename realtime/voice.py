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

import contextlib
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import av
from av.audio.codeccontext import AudioCodecContext

from realtime.endpoints.output import Output
from realtime.webrtc.capture_clock import CaptureClock
from realtime.webrtc.codec import Packet
from realtime.webrtc.voice_rtp import SAMPLE_RATE, VoicePacket

PLAYOUT_SECONDS = 0.05  # that a browser plays a packet of voice later than it shows one of a picture, until it tells
BEARABLE_SECONDS = 0.01  # that a wait may be off: each lateness makes a listener's buffer grow for seconds
LATER_SECONDS, SOONER_SECONDS = 0.0002, 0.001  # that it changes by from one packet to the next
LONGEST_SECONDS = 1.0  # that a voice may be late or wait; beyond it its sender's clock was set anew
PICTURES = 60  # whose latency counts
RECENT = 50  # packets that the report is of


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
        self._wait, self._way = SlewLimiter(), SlewLimiter()  # seconds from speech to departure: voice, its picture

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
        self._send(packet.to_av(), moment.due)
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
            for frame in self._decoder.decode(packet.to_av()):
                for output in outputs:
                    output.add_audio(frame, shown)


def _new_decoder() -> AudioCodecContext:
    decoder: Any = av.CodecContext.create("libopus", "r")
    decoder.format, decoder.layout, decoder.sample_rate = "s16", "stereo", SAMPLE_RATE
    return cast(AudioCodecContext, decoder)
