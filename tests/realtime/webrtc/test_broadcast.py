"""One encoder for many receivers: who gets which packet, and when a keyframe is made."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import av
import pytest

from pipeline.imaging.i420 import laid_out
from realtime.webrtc.broadcast import KEYFRAME_SECONDS, SPACING_SECONDS, Broadcast
from realtime.webrtc.codec import MAXIMUM_BITRATE, CodecName, Packet, is_keyframe
from tests.support.fakes import numbered

RATE = 30


class Receiver:
    """Keeps what it is sent."""

    receives_feedback = True
    bitrate = MAXIMUM_BITRATE

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.asks = False
        self.congested = False
        self.track = self

    def keyframe_wanted(self) -> bool:
        asked, self.asks = self.asks, False
        return asked

    def offer(self, packet: Packet, on_sent: Callable[[], None]) -> None:
        self.packets.append(packet)
        on_sent()


class BroadcastShow:
    """A broadcast at 30 pictures a second of its own clock."""

    def __init__(self, codec: CodecName = "H264") -> None:
        self.now = 100.0
        self.broadcast = Broadcast(lambda: self.now)
        self.broadcast.codec = codec
        self.sent = 0
        self._number = 0

    def go_on(self, pictures: int) -> list[bool]:
        """Show so many, and tell which were keyframes."""
        return [self._next() for _ in range(pictures)]

    def _next(self) -> bool:
        self.now += 1 / RATE
        self._number = self._number % 255 + 1
        packet = self.broadcast.encode(laid_out(numbered(self._number), "i420"))
        assert packet
        self.broadcast.hand_out(packet, self._on_sent)
        assert bool(packet.is_keyframe) == is_keyframe(self.broadcast.codec, bytes(packet))
        return bool(packet.is_keyframe)

    def _on_sent(self) -> None:
        self.sent += 1


@pytest.fixture
def show() -> BroadcastShow:
    return BroadcastShow()


def decoded(receiver: Receiver) -> int:
    """How many of its packets a decoder of its own understands."""
    decoder = av.CodecContext.create("h264", "r")
    return sum(len(decoder.decode(av.Packet(bytes(packet)))) for packet in [*receiver.packets]) + len(
        decoder.decode(None)
    )


def test_without_receivers_nothing_is_encoded(show: BroadcastShow) -> None:
    assert show.broadcast.encode(laid_out(numbered(1), "i420")) is None
    assert (show.broadcast.encoders, show.broadcast.congested) == (0, False)
    assert show.broadcast.bitrate == MAXIMUM_BITRATE


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_all_get_the_same_packets_from_one_encoder(codec: CodecName) -> None:
    show = BroadcastShow(codec)
    receivers = [Receiver() for _ in range(5)]
    for receiver in receivers:
        show.broadcast.add(receiver)
    assert show.go_on(10) == [True, *[False] * 9]
    assert show.broadcast.encoders == 1
    assert show.sent == 10  # once each, however many received it
    for receiver in receivers:
        assert [id(packet) for packet in receiver.packets] == [id(packet) for packet in receivers[0].packets]
    assert len(receivers[0].packets) == 10


def test_who_comes_later_begins_with_a_keyframe(show: BroadcastShow) -> None:
    first, second = Receiver(), Receiver()
    show.broadcast.add(first)
    show.go_on(30)
    show.broadcast.add(second)
    assert show.go_on(10) == [True, *[False] * 9]
    assert (len(first.packets), len(second.packets)) == (40, 10)
    assert (decoded(first), decoded(second)) == (40, 10)


def test_who_comes_right_after_a_keyframe_waits_for_the_next(show: BroadcastShow) -> None:
    first, second = Receiver(), Receiver()
    show.broadcast.add(first)
    show.go_on(1)
    show.broadcast.add(second)
    keyframes = show.go_on(10)
    assert keyframes.count(True) == 1
    assert len(second.packets) == 10 - keyframes.index(True)
    assert keyframes.index(True) / RATE < SPACING_SECONDS + 1 / RATE


def test_who_left_gets_no_more_and_the_last_ends_the_encoder(show: BroadcastShow) -> None:
    first, second = Receiver(), Receiver()
    show.broadcast.add(first)
    show.broadcast.add(second)
    show.go_on(3)
    show.broadcast.remove(first)
    show.go_on(3)
    assert (len(first.packets), len(second.packets)) == (3, 6)
    show.broadcast.remove(second)
    assert show.broadcast.encode(laid_out(numbered(1), "i420")) is None
    assert show.broadcast.encoders == 0


def test_one_that_does_not_keep_up_is_left_out_until_a_keyframe(show: BroadcastShow) -> None:
    slow, others = Receiver(), [Receiver(), Receiver()]
    for receiver in (slow, *others):
        show.broadcast.add(receiver)
    show.go_on(10)
    slow.congested = True
    assert show.go_on(30) == [False] * 30  # those who keep up need none
    assert not show.broadcast.congested
    slow.congested = False
    assert show.go_on(10) == [True, *[False] * 9]
    assert len(slow.packets) == 20 and decoded(slow) == 20
    assert [len(receiver.packets) for receiver in others] == [50, 50]


def test_only_when_nobody_keeps_up_it_is_congested(show: BroadcastShow) -> None:
    receivers = [Receiver(), Receiver()]
    for receiver in receivers:
        show.broadcast.add(receiver)
    told = []
    for states in ((False, False), (True, False), (False, True), (True, True)):
        for receiver, state in zip(receivers, states, strict=True):
            receiver.congested = state
        told.append(show.broadcast.congested)
    assert told == [False, False, False, True]


def test_a_request_for_a_keyframe_is_granted_at_once(show: BroadcastShow) -> None:
    receiver = Receiver()
    show.broadcast.add(receiver)
    show.go_on(15)
    receiver.asks = True
    assert show.go_on(5) == [True, *[False] * 4]


def test_a_storm_of_requests_makes_a_bounded_number_of_keyframes(show: BroadcastShow) -> None:
    storming, quiet = Receiver(), Receiver()
    show.broadcast.add(storming)
    show.broadcast.add(quiet)
    keyframes = 0
    for _ in range(10 * RATE):
        storming.asks = True
        keyframes += sum(show.go_on(1))
    assert keyframes <= 10 / SPACING_SECONDS
    assert len(quiet.packets) == decoded(quiet) == 10 * RATE


def test_a_request_during_the_spacing_is_not_forgotten(show: BroadcastShow) -> None:
    receiver = Receiver()
    show.broadcast.add(receiver)
    show.go_on(1)
    receiver.asks = True
    assert show.go_on(10).count(True) == 1


def test_who_cannot_ask_gets_keyframes_all_the_same(show: BroadcastShow) -> None:
    deaf = Receiver()
    deaf.receives_feedback = False
    show.broadcast.add(deaf)
    keyframes = show.go_on(round(4 * KEYFRAME_SECONDS * RATE))
    assert 4 <= keyframes.count(True) <= 5


def test_the_worst_path_decides_the_bitrate(show: BroadcastShow) -> None:
    good, bad = Receiver(), Receiver()
    bad.bitrate = 700_000
    show.broadcast.add(good)
    show.broadcast.add(bad)
    assert show.broadcast.bitrate == 700_000
    show.broadcast.remove(bad)
    assert show.broadcast.bitrate == MAXIMUM_BITRATE


def test_the_times_of_packets_grow_with_the_clock(show: BroadcastShow) -> None:
    receiver = Receiver()
    show.broadcast.add(receiver)
    show.go_on(RATE)
    times = [packet.pts for packet in receiver.packets]
    assert all(2990 <= later - earlier <= 3010 for earlier, later in pairwise(times))
