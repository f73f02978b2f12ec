"""A slot for the newest item, between the thread that puts it there and the thread that takes it."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """Holds only the newest item. `put` never blocks: a slow taker misses items and never falls behind."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self.closed = False
        self.dropped = 0  # items that were replaced before they were taken

    def put(self, item: T) -> None:
        """Replace the item; do nothing after `close`."""
        with self._changed:
            if self.closed:
                return
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify()

    def take(self, timeout: float) -> T | None:
        """Return the newest item. Wait up to `timeout` seconds for one; None if none came or the slot was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self.closed, timeout)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Close the slot for good: drop its item and wake the taker."""
        with self._changed:
            self.closed, self._item = True, None
            self._changed.notify_all()
