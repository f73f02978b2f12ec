"""Percentiles, rates and the report of a session."""

from __future__ import annotations

from realtime.frame import Stamps
from realtime.stats import SAMPLES, STAGES, Rate, SessionStats, percentiles


def test_percentiles_are_nearest_rank() -> None:
    assert percentiles(range(100, 0, -1)) == {"p50": 50, "p95": 95, "p99": 99}
    assert percentiles([4.0]) == {"p50": 4.0, "p95": 4.0, "p99": 4.0}
    assert percentiles([3.0, 1.0]) == {"p50": 1.0, "p95": 3.0, "p99": 3.0}
    assert percentiles([]) == {"p50": 0.0, "p95": 0.0, "p99": 0.0}


def test_rate_counts_the_last_two_seconds() -> None:
    rate = Rate()
    for i in range(300):
        rate.add(i / 30)
    assert round(rate.at(299 / 30), 6) == 30
    assert rate.at(100) == 0


def test_rate_of_the_first_frames_is_not_too_low() -> None:
    rate = Rate()
    rate.add(0.0)
    assert rate.at(0.5) == 0
    rate.add(0.5)
    assert rate.at(0.5) == 2


def test_rate_falls_when_events_stop() -> None:
    rate = Rate()
    for i in range(61):
        rate.add(i / 30)
    assert 0 < rate.at(3.0) < 16


def test_stamps_measure_each_stage() -> None:
    times = iter([10.0, 10.5, 12.0])
    stamps = Stamps(lambda: next(times), earlier=0.25)
    stamps.mark("decode")
    stamps.mark("track")
    assert stamps.spent == {"decode": 0.75, "track": 1.5}
    assert stamps.now == 12.0


def test_report_has_every_stage_and_counter() -> None:
    stats = SessionStats()
    for i in range(3):
        stats.receive(i / 10)
    stats.animate(dict.fromkeys(STAGES[:-1], 0.002))
    stats.send(0.2, 0.005)
    stats.send(0.3, None)
    stats.drop()
    report = stats.report(0.3, dropped=2)
    assert report["fps"] == {"in": 6.7, "out": 10.0}
    assert report["frames"] == {"received": 3, "animated": 1, "sent": 2, "dropped": 3}
    assert set(report["stages_ms"]) == set(STAGES)
    assert report["stages_ms"]["track"] == {"p50": 2.0, "p95": 2.0, "p99": 2.0}
    assert report["stages_ms"]["server"]["p50"] == 5.0
    assert report["warnings"] == []


def test_old_samples_are_forgotten() -> None:
    stats = SessionStats()
    for i in range(2 * SAMPLES):
        stats.animate({"track": 1.0 if i < SAMPLES else 0.001})
    assert stats.report(0, 0)["stages_ms"]["track"] == {"p50": 1.0, "p95": 1.0, "p99": 1.0}


def test_a_kind_of_warning_is_shown_once() -> None:
    stats = SessionStats()
    assert stats.warn("ValueError", "first")
    assert not stats.warn("ValueError", "second")
    assert stats.report(0, 0)["warnings"] == ["first"]
