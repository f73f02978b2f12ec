"""Whether a driver is there: it connected in time, and sends frames or messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Literal

CONNECT_SECONDS = 15.0  # from the SDP answer until the driver must be connected
SILENCE_SECONDS = 5.0  # without a frame or a message, until the driver counts as gone
WATCH_SECONDS = 0.5  # between checks of both

Absence = Literal["silent", "never connected"]


class Presence:
    """Watches one driver. Lives on the event loop."""

    def __init__(self, on_absence: Callable[[Absence], None]) -> None:
        """`on_absence` is called once, when the driver is gone."""
        self._on_absence = on_absence
        self._heard = time.monotonic()
        self._watch: asyncio.Task[None] | None = None

    def touch(self) -> float:
        """Record a sign of the driver, and return the time, in monotonic seconds."""
        self._heard = time.monotonic()
        return self._heard

    def begin(self, connected: Callable[[], bool]) -> None:
        """Start to watch a driver whose offer was just answered; `connected` returns whether it is connected."""
        self._watch = asyncio.create_task(self._until_absent(connected))

    def end(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.cancel()

    async def _until_absent(self, connected: Callable[[], bool]) -> None:
        opened = time.monotonic()
        while self._is_there(connected(), opened):
            await asyncio.sleep(WATCH_SECONDS)
        self._on_absence("silent" if connected() else "never connected")

    def _is_there(self, connected: bool, opened: float) -> bool:
        if connected:
            return time.monotonic() - self._heard < SILENCE_SECONDS
        return self.touch() - opened < CONNECT_SECONDS
