"""Packets to frames: the marker bit, order, loss, and numbers that wrap."""

from __future__ import annotations

import random

import pytest
from aiortc.rtp import RtpPacket

from realtime.webrtc.jitter_buffer import CAPACITY, PATIENCE, MarkerJitterBuffer

FRAME = 3000  # RTP ticks at 30 fps


def packet(number: int, frame: int, marker: bool = False, data: bytes | None = None) -> RtpPacket:
    made = RtpPacket(sequence_number=number % 65536, timestamp=frame * FRAME % (1 << 32), marker=int(marker))
    made._data = f"{number},".encode() if data is None else data  # type: ignore[attr-defined]
    return made


def stream(first: int, frames: int, size: int = 3) -> list[RtpPacket]:
    """`frames` frames of `size` packets, counted from sequence number `first`."""
    return [
        packet(first + frame * size + i, frame, marker=i == size - 1) for frame in range(frames) for i in range(size)
    ]


def feed(buffer: MarkerJitterBuffer, packets: list[RtpPacket]) -> tuple[list[bytes], int]:
    """The data of all frames that left, in order, and how many PLIs were asked for."""
    data, losses = [], 0
    for item in packets:
        lost, frame = buffer.add(item)
        losses += lost
        if frame:
            data += [frame.data, *(following.data for following in frame.following)]
    return data, losses


def test_a_frame_leaves_with_its_marker_packet() -> None:
    buffer = MarkerJitterBuffer()
    assert buffer.add(packet(1, 0)) == (False, None)
    lost, frame = buffer.add(packet(2, 0, marker=True))
    assert (lost, frame and frame.data, frame and frame.timestamp) == (False, b"1,2,", 0)


def test_without_a_marker_it_leaves_with_the_next_frame() -> None:
    data, losses = feed(MarkerJitterBuffer(), [packet(1, 0), packet(2, 0), packet(3, 1)])
    assert (data, losses) == ([b"1,2,"], 0)


@pytest.mark.parametrize("first", [0, 1, 65530, 65535])
def test_order_is_restored_across_the_wrap_of_numbers(first: int) -> None:
    packets = stream(first, 40)
    expected = [b"".join(f"{first + frame * 3 + i},".encode() for i in range(3)) for frame in range(40)]
    assert feed(MarkerJitterBuffer(), packets) == (expected, 0)
    shuffled = packets[:1] + [
        item
        for start in range(1, len(packets), 5)
        for item in random.Random(start).sample(packets[start : start + 5], len(packets[start : start + 5]))
    ]
    assert feed(MarkerJitterBuffer(), shuffled) == (expected, 0)


def test_duplicates_and_late_packets_are_ignored() -> None:
    buffer = MarkerJitterBuffer()
    data, _ = feed(buffer, stream(10, 2, size=1))
    assert feed(buffer, [packet(10, 0, True), packet(11, 1, True)]) == ([], 0)
    assert data == [b"10,", b"11,"]


def test_frames_held_back_by_a_lost_packet_leave_together_when_it_comes() -> None:
    buffer = MarkerJitterBuffer()
    packets = stream(100, 4, size=2)
    missing = packets.pop(3)
    assert feed(buffer, packets) == ([b"100,101,"], 0)
    _, frame = buffer.add(missing)
    assert frame is not None
    assert frame.data == b"102,103,"
    assert [(after.data, after.timestamp) for after in frame.following] == [
        (b"104,105,", FRAME),
        (b"106,107,", 2 * FRAME),
    ]


def test_a_packet_that_never_comes_is_given_up_after_a_quarter_second() -> None:
    buffer = MarkerJitterBuffer()
    packets = stream(0, 12, size=3)
    del packets[4]  # in the middle of frame 1
    data, losses = feed(buffer, packets)
    assert PATIENCE == 22500
    assert losses == 1
    assert data[:2] == [b"0,1,2,", b"6,7,8,"]  # frame 1 is left out, and nothing else
    assert data[-1] == b"33,34,35,"
    assert len(data) == 11


def test_the_first_packet_of_a_frame_lost() -> None:
    packets = stream(0, 12, size=3)
    del packets[3]
    data, losses = feed(MarkerJitterBuffer(), packets)
    assert (losses, len(data)) == (1, 11)
    assert b"4,5," not in data


def test_padding_makes_no_frame_and_no_gap() -> None:
    packets = [packet(1, 0, True), packet(2, 0, data=b""), packet(3, 0, data=b""), packet(4, 1, True)]
    assert feed(MarkerJitterBuffer(), packets) == ([b"1,", b"4,"], 0)


def test_a_sender_that_starts_anew_is_followed() -> None:
    buffer = MarkerJitterBuffer()
    feed(buffer, stream(30000, 2))
    assert feed(buffer, stream(500, 2)) == ([b"500,501,502,", b"503,504,505,"], 1)


def test_what_waits_is_bounded() -> None:
    buffer = MarkerJitterBuffer()
    feed(buffer, [packet(0, 0)])
    for number in range(2, 5 * CAPACITY):
        buffer.add(packet(number, 0))
        assert len(buffer._packets) <= CAPACITY


def test_a_frame_knows_when_it_left_came_and_was_released() -> None:
    times = iter(range(100))
    buffer = MarkerJitterBuffer(clock=lambda: next(times))
    made = [packet(1, 0), packet(2, 0, marker=True), packet(3, 1, marker=True)]
    for item, departed in zip(made, (0xFFFFFE, 1, 7), strict=True):
        item.extensions.abs_send_time = departed
    first, last, following = made
    assert buffer.add(first)[1] is None and buffer.add(following)[1] is None  # at 0 and 1
    frame = buffer.add(last)[1]  # at 2, completes both
    assert frame
    [after] = frame.following
    came, then = frame.reception, after.reception
    assert (came.departed, came.arrived) == (0xFFFFFE, 2)  # the earlier one, though its number wrapped
    assert (then.departed, then.arrived) == (7, 1)
    assert came.released > 2 and then.released > came.released
