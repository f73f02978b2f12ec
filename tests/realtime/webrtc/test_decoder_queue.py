"""Between the network and a decoder that may be slow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from realtime.core.frame import Reception
from realtime.webrtc.decoder_queue import BACKLOG, DecoderQueue
from realtime.webrtc.jitter_buffer import EncodedFrame

VP8 = SimpleNamespace(name="VP8")
KEY, DELTA = b"\x00", b"\x01"


def frame(number: int, data: bytes = DELTA) -> EncodedFrame:
    return EncodedFrame(data, number, Reception(None, 0.0, 0.0))


def drain(queue: DecoderQueue) -> list[Any]:
    items = [queue.get_nowait() for _ in range(queue.qsize())]
    return [item and item[1].timestamp for item in items]


def test_frames_that_left_together_come_one_by_one() -> None:
    queue = DecoderQueue(lambda: None)
    first = frame(1000)
    first.following = [frame(30), frame(60)]
    queue.put((VP8, first))
    queue.put(None)
    assert drain(queue) == [1000, 1030, 1060, None]


def test_a_decoder_that_falls_behind_goes_on_with_a_keyframe() -> None:
    asked: list[None] = []
    queue = DecoderQueue(lambda: asked.append(None))
    for number in range(BACKLOG):
        queue.put((VP8, frame(number)))
    assert queue.qsize() == BACKLOG and not asked
    for number in range(BACKLOG + 1):
        queue.put((VP8, frame(BACKLOG + number)))
    assert (queue.qsize(), len(asked)) == (0, 2)  # asked at once, and again
    queue.put((VP8, frame(100, KEY)))
    queue.put((VP8, frame(101)))
    assert drain(queue) == [100, 101]
    assert len(asked) == 2


def test_a_keyframe_that_comes_by_itself_needs_no_question() -> None:
    asked: list[None] = []
    queue = DecoderQueue(lambda: asked.append(None))
    for number in range(BACKLOG):
        queue.put((VP8, frame(number)))
    queue.put((VP8, frame(50, KEY)))
    assert drain(queue) == [50] and not asked


def test_the_end_is_never_thrown_away() -> None:
    queue = DecoderQueue(lambda: None)
    for number in range(BACKLOG):
        queue.put((VP8, frame(number)))
    queue.put(None)
    assert drain(queue)[-1] is None and queue.empty()
