"""Newest wins between two threads."""

from __future__ import annotations

import threading

from realtime.core.slot import LatestSlot
from tests.support.waiting import PATIENCE


def test_the_newest_wins_and_the_others_are_counted() -> None:
    slot: LatestSlot[int] = LatestSlot()
    for item in (1, 2, 3):
        slot.put(item)
    assert (slot.take(0), slot.dropped) == (3, 2)


def test_an_item_is_taken_once() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.put(1)
    assert (slot.take(0), slot.take(0), slot.dropped) == (1, None, 0)


def test_a_falsy_item_counts_as_one() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.put(0)
    slot.put(0)
    assert (slot.take(0), slot.dropped) == (0, 1)


def test_put_wakes_who_waits() -> None:
    slot: LatestSlot[int] = LatestSlot()
    taken: list[int | None] = []
    thread = threading.Thread(target=lambda: taken.append(slot.take(PATIENCE)))
    thread.start()
    slot.put(7)
    thread.join()
    assert taken == [7]


def test_close_wakes_who_waits_and_forgets() -> None:
    slot: LatestSlot[int] = LatestSlot()
    taken: list[int | None] = []
    thread = threading.Thread(target=lambda: taken.append(slot.take(PATIENCE)))
    thread.start()
    slot.close()
    thread.join()
    slot.put(1)
    assert (taken, slot.closed, slot.take(0)) == ([None], True, None)
