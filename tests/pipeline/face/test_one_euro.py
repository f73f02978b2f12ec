import math

import numpy as np
import pytest

from pipeline.face.one_euro import OneEuroFilter, smoothing_factor

STEP = 1 / (2 * math.pi)  # seconds: the smoothing factor is then cutoff / (cutoff + 1)


def value(*numbers):
    return np.array(numbers, np.float32)


def test_smoothing_factor():
    assert smoothing_factor(STEP, value(1, 3)) == pytest.approx([0.5, 0.75])
    assert smoothing_factor(1 / 30, np.float32(2)) == pytest.approx(1 / (1 + 30 / (4 * math.pi)))


def test_first_value_passes():
    assert (OneEuroFilter(1, 1, 1)(value(4, -2), 10.0, 1.0, 1.0) == [4, -2]).all()


def test_by_hand():
    filtered = OneEuroFilter(min_cutoff=1, beta=0.5, speed_cutoff=1)
    filtered(value(0, 7), 5.0, 2.0, 1.0)
    # speed: 1 / STEP in units of 2 is pi, half of it after its own filter; cutoff 1 + pi / 4
    second = filtered(value(1, 7), 5.0 + STEP, 2.0, 1.0)
    cutoff = 1 + math.pi / 4
    first_step = cutoff / (cutoff + 1)
    assert second == pytest.approx([first_step, 7])
    # towards 1 again: the distance that is left, over 2 * STEP, then filtered against the speed before
    speed = (math.pi / 2 + (1 - first_step) * math.pi) / 2
    cutoff = 1 + 0.5 * speed
    third = filtered(value(1, 7), 5.0 + 2 * STEP, 2.0, 1.0)
    assert third == pytest.approx([first_step + (1 - first_step) * cutoff / (cutoff + 1), 7])


def test_gain_scales_the_cutoff():
    steps = []
    for gain in (0.25, 1.0, 4.0, 1e6):
        filtered = OneEuroFilter(min_cutoff=1, beta=0, speed_cutoff=1)
        filtered(value(0), 0.0, 1.0, gain)
        steps.append(float(filtered(value(1), STEP, 1.0, gain)[0]))
    assert steps == pytest.approx([0.2, 0.5, 0.8, 1.0], abs=1e-5)


def test_quick_motion_lags_less():
    def lag(distance):
        filtered = OneEuroFilter(2, 40, 1)
        filtered(value(0), 0.0, 1.0, 1.0)
        return 1 - float(filtered(value(distance), 1 / 30, 1.0, 1.0)[0]) / distance

    assert lag(0.001) > 0.6
    assert lag(0.1) < 0.2


@pytest.mark.parametrize("time", [1.0, 0.9, -5.0, 1.51, math.inf])
def test_starts_anew_where_time_stands_goes_back_or_jumps(time):
    filtered = OneEuroFilter(1, 0, 1)
    filtered(value(0), 1.0, 1.0, 1.0)
    assert filtered(value(1), time, 1.0, 1.0) == pytest.approx([1])


def test_reset_forgets():
    filtered = OneEuroFilter(1, 0, 1)
    filtered(value(0), 1.0, 1.0, 1.0)
    filtered.reset()
    assert filtered(value(1), 1.1, 1.0, 1.0) == pytest.approx([1])
    assert filtered(value(2), 1.1 + STEP, 1.0, 1.0) == pytest.approx([1.5])
