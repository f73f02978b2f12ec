"""A voice's RTP packets (Opus, RFC 6716 and RFC 7587): received as they come, sent when they are due."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RtpPacket

from realtime.webrtc.capture_clock import ticks_between
from realtime.webrtc.codec import Packet

SAMPLE_RATE = 48000  # RTP's clock for Opus, Hz (RFC 7587, 4.1)
RESTART = 10 * SAMPLE_RATE  # ticks: a packet this far behind is from a sender that restarted, not a late one
TIME_BASE = Fraction(1, SAMPLE_RATE)
BACKLOG = 200  # packets that wait at most: two seconds
SILK, HYBRID, CELT = (10, 20, 40, 60), (10, 20), (2.5, 5, 10, 20)  # ms of one Opus frame


@dataclass(frozen=True)
class VoicePacket:
    """An Opus packet (RFC 6716), and when it arrived."""

    data: bytes
    timestamp: int  # RTP's, of the first sample
    arrived: float  # monotonic seconds

    @property
    def duration(self) -> float:
        """The seconds of sound, by the first bytes (RFC 6716, 3.1)."""
        config, count = self.data[0] >> 3, self.data[0] & 3
        sizes = SILK if config < 12 else HYBRID if config < 16 else CELT
        frames = 1 if count == 0 else 2 if count < 3 else self.data[1] & 63 if len(self.data) > 1 else 0
        return sizes[config % len(sizes)] * frames / 1000

    def to_av(self) -> Packet:
        """Return it as a packet of PyAV, with its timestamp."""
        packet: Packet = av.Packet(self.data)
        packet.pts, packet.time_base = self.timestamp, TIME_BASE
        return packet


class VoiceBuffer:
    """Replaces aiortc's JitterBuffer, which delays voice by 80 ms, for one voice.

    Each packet is passed on as it comes: it waits for its picture later, and listeners have a jitter buffer themselves.
    Nothing goes to aiortc's decoder.
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
        """Pass the packet on, unless a later one came before it."""
        ahead = RESTART if self._newest is None else ticks_between(self._newest, packet.timestamp)
        late = -RESTART < ahead <= 0
        if packet.payload and packet.payload_type == self._payload_type and not late:
            self._newest = packet.timestamp
            self._on_voice(VoicePacket(packet.payload, packet.timestamp, self._clock()))
        return False, None


class VoiceTrack(MediaStreamTrack):
    """The voice that is sent to one peer."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._queue: asyncio.Queue[tuple[Packet, float]] = asyncio.Queue(BACKLOG)

    def offer(self, voice: Packet, due: float) -> None:
        """Send `voice` at `due` (monotonic seconds); drop it if too many wait, because nothing is sent any more."""
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait((voice, due))

    async def recv(self) -> Packet:
        voice, due = await self._queue.get()
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        return voice
