"""Whether a session's driver is there: connected in time, and not silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Literal, Protocol

CONNECT_SECONDS = 15.0  # from the answer to the connection
SILENCE_SECONDS = 5.0  # without a frame or a message: whoever was there is gone
WATCH_SECONDS = 0.5  # between looks at both

Absence = Literal["silent", "never connected"]


class Connected(Protocol):
    """The driver's end of a connection."""

    @property
    def connected(self) -> bool: ...


class Presence:
    """Watches over one driver. Lives on the event loop."""

    def __init__(self, on_absence: Callable[[Absence], None]) -> None:
        """`on_absence` is called once, when nobody is there any more."""
        self._on_absence = on_absence
        self._heard = time.monotonic()
        self._watch: asyncio.Task[None] | None = None

    def touch(self) -> float:
        """The driver is there: the time, in monotonic seconds."""
        self._heard = time.monotonic()
        return self._heard

    def begin(self, driver: Connected) -> None:
        """Watch over `driver`, who was answered just now."""
        self._watch = asyncio.create_task(self._until_absent(driver))

    def end(self) -> None:
        """Watch no longer."""
        if self._watch is not None:
            self._watch.cancel()

    async def _until_absent(self, driver: Connected) -> None:
        opened = time.monotonic()
        while self._is_there(driver, opened):
            await asyncio.sleep(WATCH_SECONDS)
        self._on_absence("silent" if driver.connected else "never connected")

    def _is_there(self, driver: Connected, opened: float) -> bool:
        if driver.connected:
            return time.monotonic() - self._heard < SILENCE_SECONDS
        return self.touch() - opened < CONNECT_SECONDS
