"""Wait for expected events with generous deadlines: tests do not judge speed, since a busy machine is slow."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 60.0  # seconds
Found = TypeVar("Found")


def until(find: Callable[[], Found]) -> Found:
    """Poll `find` until its result is true; return the result."""
    end = time.monotonic() + PATIENCE
    while not (found := find()):
        assert time.monotonic() < end, f"It never came to be; last it was {found!r}."
        time.sleep(0.02)
    return found


async def reached(find: Callable[[], Found]) -> Found:
    """Poll `find` until its result is true, while the event loop runs; return the result."""
    end = time.monotonic() + PATIENCE
    while not (found := find()):
        assert time.monotonic() < end, f"It never came to be; last it was {found!r}."
        await asyncio.sleep(0.01)
    return found


def new_threads(before: set[threading.Thread]) -> list[str]:
    """Return the names of threads that are not in `before`, except asyncio's pool, which stays."""
    return [each.name for each in set(threading.enumerate()) - before if not each.name.startswith("asyncio")]
