"""Percentiles, rates and the report of a session."""

from __future__ import annotations

from dataclasses import replace

import pytest

from realtime.core.frame import Reception, Stamps, Trace
from realtime.metrics.page_report import PageReport
from realtime.metrics.session_stats import SAMPLES, STAGES, Rate, SessionStats, percentiles


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


def test_stamps_measure_each_stage_and_add_up_its_parts() -> None:
    times = iter([10.5, 10.75, 12.0])
    stamps = Stamps(lambda: next(times), start=9.75)
    stamps.mark("decode", 10.0)
    stamps.mark("wait")
    stamps.mark("decode")
    stamps.mark("track")
    assert stamps.spent == {"decode": 0.5, "wait": 0.5, "track": 1.25}
    assert stamps.now == 12.0


def test_report_has_every_stage_and_counter() -> None:
    stats = SessionStats()
    for i in range(3):
        stats.record_received(i / 10)
    stats.record_animated(dict.fromkeys(STAGES[:-1], 0.002))
    trace = Trace(Reception(None, 0.1, 0.1), decoded=0.195, seen=0.196, encoded=0.199, spent={})
    stats.record_sent(0.2, trace)
    stats.record_sent(0.3, None)
    stats.record_dropped()
    report = stats.report(0.3, replaced=2)
    assert stats.traces() == [replace(trace, sent=0.2)]
    assert report["fps"] == {"in": 6.7, "out": 10.0}
    assert report["frames"] == {"received": 3, "animated": 1, "sent": 2, "dropped": 3}
    assert report["drops"] == {"replaced": 2, "congested": 1}
    assert set(report["stages_ms"]) == set(STAGES)
    assert report["stages_ms"]["track"] == {"p50": 2.0, "p95": 2.0, "p99": 2.0}
    assert report["stages_ms"]["server"]["p50"] == pytest.approx(5.0)
    assert report["warnings"] == []


def test_old_samples_are_forgotten() -> None:
    stats = SessionStats()
    for i in range(2 * SAMPLES):
        stats.record_animated({"track": 1.0 if i < SAMPLES else 0.001})
    assert stats.report(0, 0)["stages_ms"]["track"] == {"p50": 1.0, "p95": 1.0, "p99": 1.0}


def test_what_the_page_saw_is_in_the_report() -> None:
    stats = SessionStats()
    assert stats.report(0, 0)["page"] is None
    stats.record_page_report(PageReport(fps=30))
    assert stats.report(0, 0)["page"]["glass_to_glass_ms"] is None
    stats.record_page_report(
        PageReport(latencies=tuple(range(1, 101)), fps=29.96, freezes=2, dropped=3, up=1_234_567, down=2e6)
    )
    assert stats.report(0, 0)["page"] == {
        "glass_to_glass_ms": {"p50": 50, "p95": 95, "p99": 99},
        "fps": 30.0,
        "freezes": 2,
        "dropped": 3,
        "bitrate_mbps": {"up": 1.23, "down": 2.0},
    }


def test_traces_since() -> None:
    stats = SessionStats()
    trace = Trace(Reception(None, 0.1, 0.1), decoded=0.1, seen=0.1, encoded=0.1, spent={})
    for time in (1.0, 2.0, 3.0):
        stats.record_sent(time, trace)
    assert [trace.sent for trace in stats.traces(1.0)] == [2.0, 3.0]


def test_the_tally_counts_every_fate() -> None:
    stats = SessionStats()
    stats.record_received(0.0)
    stats.record_animated({"track": 0.004})
    stats.record_sent(0.1, None, size=700)
    stats.record_dropped()
    stats.record_failed("ValueError")
    counters = stats.counters(replaced=5)
    assert counters.frames == dict.fromkeys(("received", "animated", "sent", "congested", "failed"), 1) | {
        "replaced": 5
    }
    assert counters.errors == {"ValueError": 1}
    assert (counters.encoded_bytes, counters.stages["track"].sum) == (700, 0.004)
    assert stats.counters(replaced=5) is not counters and stats.counters(replaced=5).frames == counters.frames


def test_advice_is_replaced_and_goes_away() -> None:
    stats = SessionStats()
    for sentence in ("slow", "slower"):
        stats.set_notice("pace", sentence)
    assert stats.report(0, 0)["warnings"] == ["slower"]
    stats.set_notice("pace", None)
    assert stats.report(0, 0)["warnings"] == []


def test_a_kind_of_warning_is_shown_once() -> None:
    stats = SessionStats()
    assert stats.warn("ValueError", "first")
    assert not stats.warn("ValueError", "second")
    assert stats.report(0, 0)["warnings"] == ["first"]
