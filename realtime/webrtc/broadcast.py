"""Encodes a session's pictures once for all receivers: its own peer and its viewers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipeline.core.animator import Planes
from realtime.core.frame import CLOCK_RATE
from realtime.webrtc.codec import MAXIMUM_BITRATE, CodecName, Packet, VideoEncoder, new_encoder
from realtime.webrtc.peer import Peer

KEYFRAME_SECONDS = 2.0  # between keyframes, if requests for them cannot be received
SPACING_SECONDS = 0.2  # at least, between requested ones: one viewer must not spoil the picture of others


@dataclass(eq=False)
class _Place:
    """A receiver, and whether it needs a keyframe first."""

    receiver: Peer
    lost: bool = True


class Broadcast:
    """Receivers are added and removed on the event loop; one other thread encodes and hands out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places: tuple[_Place, ...] = ()  # replaced, never changed: the thread may read it at any time
        self._encoder: VideoEncoder | None = None
        self._start = self._keyframe = clock()
        self._keyframe_wanted = False
        self.codec: CodecName = "H264"  # of all receivers; to be set before the first one

    @property
    def encoders(self) -> int:
        """The number of encoders: one at most, for any number of receivers."""
        return int(self._encoder is not None)

    @property
    def bitrate(self) -> int:
        """The bits per second that the slowest path can carry."""
        return min((place.receiver.bitrate for place in self._places), default=MAXIMUM_BITRATE)

    @property
    def congested(self) -> bool:
        """Whether no receiver keeps up, so that no picture should be made now."""
        places = self._places
        return bool(places) and all(place.receiver.track.congested for place in places)

    def add(self, receiver: Peer) -> None:
        """Send to `receiver`, beginning with a keyframe."""
        self._places += (_Place(receiver),)

    def remove(self, receiver: Peer) -> None:
        """Stop sending to `receiver`."""
        self._places = tuple(place for place in self._places if place.receiver is not receiver)

    def encode(self, shown: Planes) -> Packet | None:
        """Return the picture's packet; None if there is no receiver."""
        places = self._places
        if not places:
            self._encoder = None
            return None
        now = self._clock()
        keyframe = self._keyframe_due(places, now)
        if self._encoder is None:
            self._encoder, keyframe = new_encoder(self.codec), True
        if keyframe:
            self._keyframe, self._keyframe_wanted = now, False
        pts = int((now - self._start) * CLOCK_RATE)
        packet = self._encoder.encode(shown, pts, self.bitrate, keyframe)
        packet.is_keyframe = keyframe
        return packet

    def hand_out(self, packet: Packet, on_sent: Callable[[], None]) -> None:
        """Send a packet to all that can decode it. `on_sent` is called once, on the event loop, when it leaves."""
        for place in self._places:
            place.lost = place.receiver.track.congested or (place.lost and not packet.is_keyframe)
            if not place.lost:
                place.receiver.track.offer(packet, on_sent)
                on_sent = _nothing

    def send_voice(self, voice: Packet, due: float) -> None:
        """Send the driver's voice to all at `due` (monotonic seconds). For the event loop."""
        for place in self._places:
            place.receiver.send_voice(voice, due)

    def _keyframe_due(self, places: Iterable[_Place], now: float) -> bool:
        asked = [place.receiver.keyframe_wanted() for place in places]  # ask all: a request is reported once
        lost = any(place.lost and not place.receiver.track.congested for place in places)
        self._keyframe_wanted |= lost or any(asked)
        deaf = not all(place.receiver.receives_feedback for place in places)
        since = now - self._keyframe
        return (self._keyframe_wanted and since > SPACING_SECONDS) or (deaf and since > KEYFRAME_SECONDS)


def _nothing() -> None: ...
