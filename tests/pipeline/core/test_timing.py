from __future__ import annotations

import pytest

from pipeline.core.timing import Stopwatch


def test_percentiles_in_milliseconds():
    watch = Stopwatch()
    for milliseconds in range(1, 102):
        watch.add("track", milliseconds / 1000)
    assert watch.percentiles() == {"track": {"p50": 51, "p95": 96, "p99": 100}}


def test_each_passes_items_on_and_counts_them():
    watch = Stopwatch()
    assert list(watch.each("decode", "abc")) == ["a", "b", "c"]
    assert list(watch.percentiles()) == ["decode"]


def test_a_run_that_raises_is_not_counted():
    watch = Stopwatch()
    with pytest.raises(KeyError), watch.stage("animate"):
        raise KeyError
    assert watch.percentiles() == {}
