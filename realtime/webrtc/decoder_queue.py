"""A bounded queue between the network and the decoder, in place of aiortc's unbounded one."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from realtime.webrtc.codec import is_keyframe

BACKLOG = 10  # frames: a third of a second


class DecoderQueue(queue.Queue[Any]):
    """Passes on one by one the frames that left the jitter buffer together.

    If the decoder falls behind, the waiting frames are dropped, and all that come before a keyframe: each frame needs
    the one before it.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        """`ask` is called when a keyframe is needed, and again while none comes."""
        super().__init__()
        self._ask = ask
        self._skipped: int | None = None  # frames dropped since the last one that was passed on; None: none

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if item is None:
            super().put(None, block, timeout)  # ends the decoder
            return
        codec, first = item
        for frame in first.following:
            frame.timestamp += first.timestamp
        for frame in (first, *first.following):
            if self._takes(codec.name, frame.data):
                super().put((codec, frame), block, timeout)

    def _takes(self, codec: str, data: bytes) -> bool:
        if self.qsize() >= BACKLOG:
            with self.mutex:
                self.queue.clear()
            self._skipped = 0
        if self._skipped is not None:
            if is_keyframe(codec, data):
                self._skipped = None
            else:
                if self._skipped % BACKLOG == 0:
                    self._ask()
                self._skipped += 1
        return self._skipped is None
