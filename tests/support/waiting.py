"""Waiting for what is to come. How fast it comes, a test does not judge: a busy machine takes long for anything."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 60.0  # seconds
Found = TypeVar("Found")


def until(find: Callable[[], Found]) -> Found:
    """Return what `find` finds as soon as it is true."""
    end = time.monotonic() + PATIENCE
    while not (found := find()):
        assert time.monotonic() < end, f"It never came to be; last it was {found!r}."
        time.sleep(0.02)
    return found


async def reached(find: Callable[[], Found]) -> Found:
    """Return what `find` finds as soon as it is true, while the event loop goes on."""
    end = time.monotonic() + PATIENCE
    while not (found := find()):
        assert time.monotonic() < end, f"It never came to be; last it was {found!r}."
        await asyncio.sleep(0.01)
    return found


def new_threads(before: set[threading.Thread]) -> list[str]:
    """Return the names of the threads that were not there `before`; asyncio keeps its own for later work."""
    return [each.name for each in set(threading.enumerate()) - before if not each.name.startswith("asyncio")]
