"""A session's pictures, encoded once for all that receive them: its own peer and its viewers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.animator import Planes
from realtime.core.frame import CLOCK_RATE
from realtime.webrtc.codec import MAXIMUM_BITRATE, CodecName, Packet, VideoEncoder, new_encoder

KEYFRAME_SECONDS = 2.0  # between keyframes where requests for them cannot be heard
SPACING_SECONDS = 0.2  # at least, between those that are asked for: one viewer may not spoil the picture of others


class Track(Protocol):
    """What sends packets to one peer."""

    @property
    def congested(self) -> bool: ...

    def offer(self, packet: Packet, on_sent: Callable[[], None]) -> None: ...


class Receiver(Protocol):
    """One peer that is sent to. `realtime.webrtc.peer.Peer` is one."""

    @property
    def track(self) -> Track: ...

    @property
    def bitrate(self) -> int: ...

    @property
    def receives_feedback(self) -> bool: ...

    def keyframe_wanted(self) -> bool: ...

    def send_voice(self, voice: Packet, due: float) -> None: ...


@dataclass(eq=False)
class _Place:
    """A receiver, and whether it needs a keyframe before anything else."""

    receiver: Receiver
    lost: bool = True


class Broadcast:
    """Receivers come and go on the event loop; one thread encodes and hands out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places: tuple[_Place, ...] = ()  # replaced, never changed, so that the thread may read it at any time
        self._encoder: VideoEncoder | None = None
        self._start = self._keyframe = clock()
        self._keyframe_wanted = False
        self.codec: CodecName = "H264"  # what every receiver must understand; to be changed before the first one

    @property
    def encoders(self) -> int:
        """How many are at work: one at most, however many receive."""
        return int(self._encoder is not None)

    @property
    def bitrate(self) -> int:
        """Bits per second that the worst of all paths bears."""
        return min((place.receiver.bitrate for place in self._places), default=MAXIMUM_BITRATE)

    @property
    def congested(self) -> bool:
        """No receiver's sender keeps up: make no further picture now."""
        places = self._places
        return bool(places) and all(place.receiver.track.congested for place in places)

    def add(self, receiver: Receiver) -> None:
        """Send to `receiver`, from a keyframe on."""
        self._places += (_Place(receiver),)

    def remove(self, receiver: Receiver) -> None:
        """Send to it no longer."""
        self._places = tuple(place for place in self._places if place.receiver is not receiver)

    def encode(self, shown: Planes) -> Packet | None:
        """The packet of a picture; None where nobody receives."""
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
        """To all that can decode it. `on_sent` is called on the loop, once, when it leaves."""
        for place in self._places:
            place.lost = place.receiver.track.congested or (place.lost and not packet.is_keyframe)
            if not place.lost:
                place.receiver.track.offer(packet, on_sent)
                on_sent = _nothing

    def send_voice(self, voice: Packet, due: float) -> None:
        """Have the driver's voice leave at `due` (monotonic seconds), to all that hear it. On the loop."""
        for place in self._places:
            place.receiver.send_voice(voice, due)

    def _keyframe_due(self, places: Iterable[_Place], now: float) -> bool:
        asked = [place.receiver.keyframe_wanted() for place in places]  # of all: asking forgets
        lost = any(place.lost and not place.receiver.track.congested for place in places)
        self._keyframe_wanted |= lost or any(asked)
        unheard = not all(place.receiver.receives_feedback for place in places)
        since = now - self._keyframe
        return (self._keyframe_wanted and since > SPACING_SECONDS) or (unheard and since > KEYFRAME_SECONDS)


def _nothing() -> None: ...
