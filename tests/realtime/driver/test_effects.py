from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.animator import Cue
from pipeline.core.options import AnimateOptions
from realtime.driver.effects import FADE_SECONDS, CrossFade, mixed
from tests.support.fakes import FakeAnimator, portrait

DARK, LIGHT = portrait((40, 40, 40)), portrait((200, 200, 200))


class Counting(FakeAnimator):
    """Counts the pictures that it draws."""

    drawn = 0

    def _draw(self, cue):
        self.drawn += 1
        return super()._draw(cue)


def luma(planes) -> int:
    """Of the portrait's colour, which fills the lower rows."""
    return int(planes[100, 100])


def shown(fade: CrossFade, portrait, time: float) -> int:
    return luma(fade.draw(Cue(portrait, AnimateOptions()), time))


def test_the_first_portrait_is_there_at_once():
    assert shown(CrossFade(FakeAnimator()), LIGHT, 5.0) == 188  # BT.601, limited: 16 + 200 * 219 / 255


def test_a_new_portrait_comes_in_over_150_ms():
    animator = Counting()
    fade = CrossFade(animator)
    levels = [shown(fade, DARK, -1.0)]
    levels += [shown(fade, LIGHT, share * FADE_SECONDS) for share in (0, 0.25, 0.5, 0.75, 1, 2)]
    assert levels == [50, 50, 84, 119, 154, 188, 188]  # 50 to 188 in even steps, to the rounding
    assert animator.drawn == 1 + 4 * 2 + 2  # both only while it lasts


def test_the_same_portrait_does_not_fade():
    animator = Counting()
    fade = CrossFade(animator)
    for time in (0.0, 0.1, 0.2):
        shown(fade, DARK, time)
    assert animator.drawn == 3


def test_pictures_of_different_sizes_do_not_mix():
    small, large = np.zeros((96, 64), np.uint8), np.full((192, 128), 9, np.uint8)
    assert mixed(small, large, 0.1) is large


@pytest.mark.parametrize(("share", "level"), [(0.0, 10), (0.5, 60), (1.0, 110)])
def test_shares(share, level):
    before, after = np.full((6, 4), 10, np.uint8), np.full((6, 4), 110, np.uint8)
    assert np.all(mixed(before, after, share) == level)


def test_other_options_do_not_fade():
    animator = Counting()
    fade = CrossFade(animator)
    cue = Cue(DARK, AnimateOptions())
    fade.draw(cue, 0.0)
    fade.draw(replace(cue, options=AnimateOptions(mirror=True)), 0.1)
    assert animator.drawn == 2
