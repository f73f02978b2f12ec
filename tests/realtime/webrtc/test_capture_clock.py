"""A sender's clock, read from its reports."""

from __future__ import annotations

import pytest

from realtime.webrtc.capture_clock import TIMESTAMPS, WINDOW_SECONDS, CaptureClock, ticks_between


@pytest.mark.parametrize(
    ("earlier", "later", "ticks"),
    [(0, 90, 90), (90, 0, -90), (TIMESTAMPS - 30, 60, 90), (60, TIMESTAMPS - 30, -90), (7, 7, 0)],
)
def test_ticks_between_timestamps_that_wrap(earlier: int, later: int, ticks: int) -> None:
    assert ticks_between(earlier, later) == ticks


def test_nothing_is_known_before_the_first_report() -> None:
    assert CaptureClock().captured(0) is None


def test_a_report_dates_the_frames_around_it() -> None:
    clock = CaptureClock()
    clock.report(9000, 50.0)
    assert clock.captured(9000) == 50.0
    assert clock.captured(9000 - 45) == pytest.approx(49.9995)
    assert clock.captured(9000 + 90000) == pytest.approx(51.0)


def test_the_fastest_report_counts() -> None:
    clock = CaptureClock()
    for second, late in enumerate([0.020, 0.003, 0.250]):
        clock.report(second * 90000, 10.0 + second + late)
    assert clock.captured(180_000) == pytest.approx(12.003)


def test_reports_are_forgotten_so_that_a_drifting_clock_is_followed() -> None:
    clock, drift = CaptureClock(), 100e-6
    for second in range(600):
        clock.report(second * 90000, second * (1 + drift))
    newest = clock.captured(599 * 90000)
    assert newest is not None
    assert 599 * drift - WINDOW_SECONDS * drift <= newest - 599 <= 599 * drift


def test_a_clock_that_wraps_between_reports() -> None:
    clock = CaptureClock()
    clock.report(TIMESTAMPS - 90000, 1.0)
    clock.report(0, 2.5)
    assert clock.captured(45000) == pytest.approx(2.5)
