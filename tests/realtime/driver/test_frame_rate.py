"""Which rate a driver is asked for."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from realtime.driver.frame_rate import CALM_SECONDS, LOOK_SECONDS, FrameRateController, Pace, affordable, decide

Work = Callable[[float], float]


@pytest.mark.parametrize(
    ("work", "rate"), [(0.001, 48), (0.030, 30), (0.0307, 24), (0.1, 8), (0.092, 10), (0.9, 1), (5.0, 1)]
)
def test_affordable(work: float, rate: int) -> None:
    assert affordable(work) == rate


SLOWED = Pace(12, 14.0, 30.0)


@pytest.mark.parametrize(
    ("pace", "work", "offered", "rate"),
    [
        (Pace(), 0.032, 30.0, None),  # busy, and keeps up
        (Pace(), 0.040, 30.0, 20),
        (Pace(), 0.040, 15.0, None),  # the camera is slow itself
        (Pace(), 3.0, 30.0, 1),
        (SLOWED, 0.070, 12.0, 12),  # 15 would be too much
        (SLOWED, 0.060, 12.0, 15),
        (SLOWED, 0.070, 30.0, 12),  # whoever does not listen is asked for no less
        (SLOWED, 0.110, 12.0, 8),
        (SLOWED, 0.001, 12.0, 24),  # twice as many at most
        (Pace(24, 25.0, 30.0), 0.030, 24.0, None),  # as many as there were
        (Pace(20, 25.0, 25.0), 0.036, 20.0, None),
        (Pace(24, 25.0, 60.0), 0.030, 24.0, 30),
        (Pace(24, 25.0, 60.0), 0.0307, 24.0, 24),
    ],
)
def test_decide(pace: Pace, work: float, offered: float, rate: int | None) -> None:
    assert decide(pace, work, offered).rate == rate


def rates(
    controller: FrameRateController, work: Work, seconds: float, start: float = 0.0
) -> list[tuple[float, int | None]]:
    """(time, rate) of each change, by a driver at 30 fps that does what it is asked."""
    changes, time = [], start
    while time < start + seconds:
        offered = float(controller.pace.rate or 30)
        if controller.add(work(time), offered, time):
            changes.append((round(time - start, 1), controller.pace.rate))
        time += max(1 / offered, work(time))
    return changes


def test_the_rate_falls_after_one_look_and_comes_back_by_doubling() -> None:
    controller = FrameRateController()
    [(when, rate)] = rates(controller, lambda time: 0.1, 20)
    assert LOOK_SECONDS <= when < LOOK_SECONDS + 0.2 and rate == 8
    assert controller.pace.warning == (
        "Only 10 pictures a second could be drawn, so the camera is asked for 8, not 30; "
        "close other programs, or start with a smaller --size."
    )
    back = rates(controller, lambda time: 0.01, 120, start=20)
    assert [rate for _, rate in back] == [16, None]
    times = [when for when, _ in back]
    assert all(CALM_SECONDS <= later - earlier < CALM_SECONDS + 4 for earlier, later in pairwise(times))
    assert controller.pace.warning is None


def test_one_slow_picture_changes_nothing() -> None:
    assert rates(FrameRateController(), lambda time: 1.0 if 5 < time < 5.5 else 0.01, 20) == []


def test_a_load_of_its_own_making_is_tried_ever_more_seldom() -> None:
    controller = FrameRateController()

    def work(time: float) -> float:
        return 0.045 if (controller.pace.rate or 30) > 20 else 0.02

    changes = rates(controller, work, 600)
    tries = [when for when, rate in changes if rate is None]
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert [round(gap / CALM_SECONDS) for gap in gaps] == [2, 4, 8, 15, 15, 15]  # and never more than two minutes apart
