"""Counts that grow, and what a page may tell."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from realtime.metrics.counters import BOUNDS, Counters, Histogram, total
from realtime.metrics.page_report import MOST_LATENCIES, PageReport


def test_a_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram()
    for seconds in (0.0, BOUNDS[0], 0.0011, BOUNDS[-1], 100.0):
        histogram.add(seconds)
    assert histogram.counts == [2, 1, *[0] * (len(BOUNDS) - 3), 1, 1]
    assert histogram.sum == pytest.approx(105.0021)


def test_the_total_is_of_all_and_changes_none() -> None:
    parts = [Counters(), Counters()]
    for counters, seconds in zip(parts, (0.25, 0.5), strict=True):
        counters.frames["sent"] += 2
        counters.errors["ValueError"] += 1
        counters.stages["track"].add(seconds)
        counters.glass_to_glass.add(seconds)
        counters.encoded_bytes += 10
    parts[1].stages["motion"].add(1.0)
    added = total(parts)
    assert (added.frames, added.errors, added.encoded_bytes) == ({"sent": 4}, {"ValueError": 2}, 20)
    assert {name: histogram.sum for name, histogram in added.stages.items()} == {"track": 0.75, "motion": 1.0}
    assert sum(added.glass_to_glass.counts) == 2
    assert (parts[0].stages.keys(), parts[0].frames) == ({"track"}, {"sent": 2})


def parse(content: dict[str, Any]) -> PageReport:
    return PageReport.model_validate_json(json.dumps(content))


def test_a_view_of_nothing_and_of_everything() -> None:
    assert parse({}) == PageReport()
    content = {"latencies": [1, 2.5], "fps": 30, "freezes": 1, "dropped": 2, "up": 3e6, "down": 4e6, "id": 9}
    assert parse(content) == PageReport(latencies=(1.0, 2.5), fps=30.0, freezes=1, dropped=2, up=3e6, down=4e6)


@pytest.mark.parametrize(
    "content",
    [
        {"latencies": None},
        {"latencies": [1] * (MOST_LATENCIES + 1)},
        {"latencies": [60_001]},
        {"latencies": [True]},
        {"latencies": ["1"]},
        {"latencies": [[1]]},
        {"fps": float("nan")},
        {"fps": float("inf")},
        {"freezes": -1},
        {"up": 10**300},
        {"down": {}},
    ],
)
def test_a_view_that_cannot_be_meant(content: dict[str, Any]) -> None:
    [name] = content
    with pytest.raises(ValidationError, match=name):
        parse(content)
