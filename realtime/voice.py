"""Sends the driver's voice on, in step with the pictures. Opus packets are passed on as they came; none is kept.

A voice is faster than its picture, because nothing has to be drawn. So each packet waits until the picture of the same
moment leaves, minus the time by which the listener plays voices later than it shows pictures. The page reports that
time: browsers measure how long they buffer both. Pictures never wait for the voice.

How long a picture takes from capture to departure is known from RTCP sender reports (webrtc/capture_clock.py). The
voice is dated by its packets themselves: each leaves its sender when its last sample was spoken. So the fastest packets
map RTP timestamps to this machine's clock, late by one packet and by the shortest way up. The pictures' clock is late
by the same way, so it cancels out. The delays inside camera and microphone are not considered.
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

PLAYOUT_SECONDS = 0.05  # by which browsers play voices later than pictures, until the page reports it
BEARABLE_SECONDS = 0.01  # of error in the wait: a late packet makes the listener's buffer grow for seconds
LATER_SECONDS, SOONER_SECONDS = 0.0002, 0.001  # by which the wait may change from one packet to the next
LONGEST_SECONDS = 1.0  # that a voice may be late or wait; if it is more, the sender's clock was reset
PICTURES = 60  # in the median of their latency
RECENT = 50  # packets in the report


class SlewLimiter:
    """A number that follows another slowly; if it is close enough, it stays."""

    def __init__(self) -> None:
        self._value: float | None = None
        self._moving = False

    def follow(self, wanted: float) -> float:
        """Return the next value on the way to `wanted`; the first call returns `wanted`."""
        if self._value is None:
            self._value = wanted
        off = wanted - self._value
        self._moving = abs(off) > (LATER_SECONDS if self._moving else BEARABLE_SECONDS)
        if self._moving:
            self._value += max(-SOONER_SECONDS, min(off, LATER_SECONDS))
        return self._value


@dataclass(frozen=True)
class Moment:
    """The times of one voice packet, in monotonic seconds."""

    arrived: float
    due: float  # when it is to leave
    shown: float  # when its picture leaves
    heard: float  # by how much it is heard later than its picture is seen; negative: sooner


class LipSync:
    """Decides when each voice packet is to leave. Pure: numbers in, numbers out, all of them seconds."""

    def __init__(self) -> None:
        self.playout = PLAYOUT_SECONDS  # by which the listener plays voices later than it shows pictures
        self._clock = CaptureClock(SAMPLE_RATE)
        self._pictures: deque[float] = deque(maxlen=PICTURES)
        self._latency: float | None = None  # of a picture, from capture to departure; None: not known yet
        self._wait, self._way = SlewLimiter(), SlewLimiter()  # seconds from speech to departure: voice, its picture

    def show(self, latency: float) -> None:
        """Record a picture that left `latency` after its capture. For any thread, one at a time."""
        self._pictures.append(max(0.0, min(latency, LONGEST_SECONDS)))
        self._latency = statistics.median(self._pictures)

    def place(self, packet: VoicePacket) -> Moment:
        """Return the times of the newest packet. It is due at once if its picture has left, or is not known."""
        spoken, arrived, latency = self._spoken(packet), packet.arrived, self._latency
        if latency is None:
            return Moment(arrived, arrived, arrived + self.playout, 0.0)
        due = max(arrived, spoken + self._wait.follow(latency - self.playout))
        heard = due + self.playout - spoken - latency
        return Moment(arrived, due, spoken + self._way.follow(latency), heard)

    def _spoken(self, packet: VoicePacket) -> float:
        begun = self._begun(packet)
        if packet.arrived - begun > LONGEST_SECONDS:
            self._clock = CaptureClock(SAMPLE_RATE)
            begun = self._begun(packet)
        return begun - packet.duration

    def _begun(self, packet: VoicePacket) -> float:
        self._clock.report(packet.timestamp, packet.arrived)
        return cast(float, self._clock.captured(packet.timestamp))


class Voice:
    """One session's voice, from its driver to its outputs and receivers. Lives on the event loop."""

    def __init__(self, send: Callable[[Packet, float], None], outputs: Callable[[], Iterable[Output]]) -> None:
        """`send` gets each packet and when it is to leave; `outputs` returns the present ones."""
        self._send = send
        self._outputs = outputs
        self._decoder: AudioCodecContext | None = None
        self._recent: deque[Moment] = deque(maxlen=RECENT)
        self.sync = LipSync()

    def on_packet(self, packet: VoicePacket) -> None:
        """Send a packet on, and add its sound to the outputs."""
        moment = self.sync.place(packet)
        self._recent.append(moment)
        self._send(packet.to_av(), moment.due)
        self._add_to_outputs(packet, moment.shown)

    def report(self) -> dict[str, float] | None:
        """Return medians (ms): how long the voice waits here, and how much later than its picture it is heard."""
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
        with contextlib.suppress(av.FFmpegError):  # anybody may send anything
            for frame in self._decoder.decode(packet.to_av()):
                for output in outputs:
                    output.add_audio(frame, shown)


def _new_decoder() -> AudioCodecContext:
    decoder: Any = av.CodecContext.create("libopus", "r")
    decoder.format, decoder.layout, decoder.sample_rate = "s16", "stereo", SAMPLE_RATE
    return cast(AudioCodecContext, decoder)
