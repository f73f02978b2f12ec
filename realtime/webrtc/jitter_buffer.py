"""Orders RTP packets and joins them to frames. A frame leaves with its last packet.

aiortc's own buffer ignores the marker bit, which says "last packet of the frame" (RFC 6184 section 5.1, RFC 7741
section 4.1), and so holds each frame back until the next one begins: a frame interval of latency. It also waits for a
lost packet until its 512 places are full.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtpPacket

from realtime.core.frame import SEND_WRAP, Reception

CAPACITY = 512  # packets waiting at most
RESTART = 100  # a packet this far behind is from a sender that restarted, not a late one
PATIENCE = 90000 // 4  # RTP ticks (90 kHz) for which a lost packet may delay frames: a quarter of a second


class EncodedFrame(JitterFrame):
    """The data of one frame, and the later frames that became complete with it, in order."""

    def __init__(self, data: bytes, timestamp: int, reception: Reception) -> None:
        super().__init__(data, timestamp)
        self.reception = reception
        self.following: list[EncodedFrame] = []  # their timestamps are relative to this frame's


class MarkerJitterBuffer:
    """Replaces aiortc's JitterBuffer for one video stream."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._packets: dict[int, RtpPacket] = {}  # by sequence number, unwrapped past 65535
        self._arrivals: dict[int, float] = {}  # by the same numbers
        self._next: int | None = None  # the sequence number that the next frame begins with

    def add(self, packet: RtpPacket) -> tuple[bool, EncodedFrame | None]:
        """Take a packet. Return whether frames were given up (send a PLI), and the complete frame, if any."""
        number = self._unwrap(packet.sequence_number)
        start = number if self._next is None else self._next
        lost = number < start - RESTART or number >= start + CAPACITY
        if lost:
            self._packets.clear()
            self._arrivals.clear()
            start = number
        elif number < start:
            return False, None
        self._next = start
        self._packets[number] = packet
        self._arrivals.setdefault(number, self._clock())
        frame = self._release()
        if frame is None and self._overdue(packet):
            self._skip()
            return True, self._release()
        return lost, frame

    def _unwrap(self, sequence_number: int) -> int:
        """Unwrap the 16 bits of `sequence_number` to the number nearest to the expected one."""
        expected = self._next or 0
        return expected + (sequence_number - expected + 0x8000) % 0x10000 - 0x8000

    def _release(self) -> EncodedFrame | None:
        frames = [frame for frame in self._complete() if frame.data]
        if not frames:
            return None
        first, *first.following = frames
        for frame in first.following:
            frame.timestamp = (frame.timestamp - first.timestamp) % (1 << 32)
        return first

    def _complete(self) -> Iterator[EncodedFrame]:
        """Remove and yield the complete frames at the front. Padding gives frames without data."""
        assert self._next is not None
        number = self._next
        parts: list[RtpPacket] = []
        while packet := self._packets.get(number):
            if parts and parts[-1].timestamp != packet.timestamp:
                yield self._take(number, parts)
                parts = []
            parts.append(packet)
            number += 1
            if packet.marker:
                yield self._take(number, parts)
                parts = []

    def _take(self, end: int, parts: list[RtpPacket]) -> EncodedFrame:
        assert self._next is not None
        arrived = 0.0
        for number in range(self._next, end):
            del self._packets[number]
            arrived = max(arrived, self._arrivals.pop(number))
        self._next = end
        data = b"".join(part._data for part in parts)  # type: ignore[attr-defined]  # set by aiortc's receiver
        timestamp = parts[0].timestamp
        return EncodedFrame(data, timestamp, Reception(_first_departure(parts), arrived, self._clock(), timestamp))

    def _overdue(self, newest: RtpPacket) -> bool:
        if not self._packets:
            return False
        oldest = self._packets[min(self._packets)]
        return PATIENCE < (newest.timestamp - oldest.timestamp) % (1 << 32) < 1 << 31

    def _skip(self) -> None:
        """Give up frames that wait for a lost packet: go on with the first packet that surely begins a frame."""
        waiting = sorted(self._packets)
        begins = (n for n in waiting if n - 1 in self._packets and self._ends_frame(n - 1))
        self._next = next(begins, waiting[-1] + 1)
        for number in waiting:
            if number < self._next:
                del self._packets[number], self._arrivals[number]

    def _ends_frame(self, number: int) -> bool:
        packet, following = self._packets[number], self._packets.get(number + 1)
        return bool(packet.marker) or (following is not None and following.timestamp != packet.timestamp)


def _first_departure(parts: list[RtpPacket]) -> int | None:
    """Return the earliest abs-send-time (24 bits that wrap); a retransmitted packet left later."""
    departures = [part.extensions.abs_send_time for part in parts if part.extensions.abs_send_time is not None]
    if not departures:
        return None
    first = departures[0]
    return min(departures, key=lambda departed: (departed - first + SEND_WRAP // 2) % SEND_WRAP)
