"""Items at any time, laid on ticks."""

from __future__ import annotations

import random

import pytest

from realtime.endpoints.constant_rate import ConstantRate


def laid(rate: int, *items: tuple[str, float]) -> str:
    ticks: ConstantRate[str] = ConstantRate(rate)
    return "".join(item for letter, time in items for item in ticks.add(letter, time)) + "".join(ticks.end())


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([("a", 7.0)], "a"),
        ([("a", 7.0), ("b", 7.1), ("c", 7.2)], "abc"),
        ([("a", 0.0), ("b", 0.4), ("c", 0.5)], "aaaabc"),  # missing ticks repeat
        ([("a", 0.0), ("b", 0.08), ("c", 0.12), ("d", 0.2)], "acd"),  # the newest wins
        ([("a", 0.0), ("b", 0.149), ("c", 0.151)], "abc"),  # half a tick decides
        ([("a", 5.0), ("b", 5.04), ("c", 5.04)], "c"),
        ([("a", 5.0), ("b", 4.0)], "b"),  # a clock that goes back changes nothing
        ([], ""),
    ],
)
def test_ticks(items, expected):
    assert laid(10, *items) == expected


def test_trembling_times_get_a_tick_each():
    jitter = random.Random(1)
    times = [n / 30 + jitter.uniform(-0.015, 0.015) for n in range(1, 255)]
    items = [(chr(300 + n), time) for n, time in enumerate(times)]
    assert laid(30, (chr(299), 0.0), *items) == "".join(map(chr, range(299, 554)))


@pytest.mark.parametrize("rate_in", [7, 25, 29.97, 60])
def test_the_length_is_that_of_the_time(rate_in):
    ticks: ConstantRate[int] = ConstantRate(30)
    for n in range(round(rate_in * 600)):
        ticks.add(n, 1e6 + n / rate_in)
    assert ticks.start == 1e6
    ticks.end()
    assert ticks.given == pytest.approx(600 * 30, abs=30 / rate_in + 1) and ticks.start is None
