"""One encoder for all receivers, and a keyframe for whoever needs one, seldom enough for the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.planes import to_planes
from realtime.broadcast import Broadcast
from realtime.codec import MAXIMUM_BITRATE, Packet
from tests.fakes import numbered

SHOWN = to_planes(numbered(1))


class Receiver:
    """A receiver, and the track that it has."""

    def __init__(self, bitrate: int = MAXIMUM_BITRATE, hears_feedback: bool = True) -> None:
        self.track = self
        self.bitrate, self.hears_feedback = bitrate, hears_feedback
        self.congested = self.asks = False
        self.packets: list[Packet] = []

    def keyframe_wanted(self) -> bool:
        asked, self.asks = self.asks, False
        return asked

    def offer(self, packet: Packet, on_sent: Callable[[], None]) -> None:
        self.packets.append(packet)
        on_sent()


def keyframes(times: Sequence[float], receiver: Receiver, before: Callable[[int], None] = lambda i: None) -> list[bool]:
    """Of the packets that are made at these times."""
    clock = iter([times[0], *times])
    broadcast = Broadcast(lambda: next(clock))
    broadcast.add(receiver)
    made = []
    for i in range(len(times)):
        before(i)
        packet = broadcast.encode(SHOWN)
        assert packet
        broadcast.hand_out(packet, lambda: None)
        made.append(bool(packet.is_keyframe))
    return made


def test_where_requests_cannot_be_heard_keyframes_come_by_themselves() -> None:
    deaf = Receiver(hears_feedback=False)
    assert keyframes([0, 1.9, 2.1, 2.2, 4.2], deaf) == [True, False, True, False, True]
    assert keyframes([0, 1.9, 2.1, 2.2, 4.2], Receiver()) == [True, False, False, False, False]


def test_requests_for_keyframes_are_met_at_once_and_not_all_the_time() -> None:
    receiver = Receiver()

    def ask(i: int) -> None:
        receiver.asks = i >= 1

    assert keyframes([0, 1, 1.1, 1.15, 1.21, 1.3], receiver, ask) == [True, True, False, False, True, False]


def test_nobody_receives_and_nothing_is_encoded() -> None:
    broadcast = Broadcast()
    assert broadcast.encode(SHOWN) is None and broadcast.encoders == 0 and not broadcast.congested
    receiver = Receiver()
    broadcast.add(receiver)
    assert broadcast.encode(SHOWN) and broadcast.encoders == 1
    broadcast.remove(receiver)
    assert broadcast.encode(SHOWN) is None and broadcast.encoders == 0


def test_one_encoding_goes_to_all_that_keep_up_and_the_others_go_on_with_a_keyframe() -> None:
    clock = iter(range(100))
    broadcast = Broadcast(lambda: next(clock))
    quick, slow = Receiver(4_000_000), Receiver(900_000)
    sent: list[int] = []

    def show(number: int) -> bool:
        packet = broadcast.encode(SHOWN)
        assert packet
        broadcast.hand_out(packet, lambda: sent.append(number))
        return bool(packet.is_keyframe)

    broadcast.add(quick)
    assert show(0) and not show(1)
    broadcast.add(slow)  # comes later: a keyframe for both
    assert broadcast.bitrate == 900_000
    assert show(2) and not show(3)
    slow.congested = True
    assert not broadcast.congested and not show(4) and not show(5)
    slow.congested = False
    assert show(6) and not show(7)
    assert [len(quick.packets), len(slow.packets)] == [8, 4]
    assert quick.packets[2] is slow.packets[0] and slow.packets[2].is_keyframe
    assert sent == list(range(8))  # once each
