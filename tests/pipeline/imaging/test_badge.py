"""The AI-generated badge."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.imaging import badge


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_is_legible_on_any_ground(shade):
    picture = np.full((512, 512, 3), shade, np.uint8)
    badge.draw(picture)
    label = picture[-40:, :130].astype(int)
    assert label.max() - label.min() > 110
    assert label.max() > 225


def test_only_touches_the_lower_left_corner():
    picture = np.full((512, 512, 3), 90, np.uint8)
    badge.draw(picture)
    changed = np.argwhere((picture != 90).any(2))
    assert changed[:, 0].min() > 512 * 0.9
    assert changed[:, 0].max() < 512 - 8
    assert changed[:, 1].min() > 8
    assert changed[:, 1].max() < 512 * 0.3


def test_grows_with_the_picture():
    areas = []
    for side in (256, 512, 1024):
        picture = np.full((side, side, 3), 90, np.uint8)
        badge.draw(picture)
        areas.append((picture != 90).any(2).sum() / side**2)
    assert max(areas) < 1.6 * min(areas)


def test_every_size_is_drawn_or_left_alone():
    for height, width in ((1, 1), (95, 400), (96, 96), (99, 131), (480, 640), (640, 480)):
        picture = np.full((height, width, 3), 90, np.uint8)
        badge.draw(picture)
        assert (picture != 90).any() == (min(height, width) >= 96)


def test_is_the_same_every_time():
    first, second = (np.full((512, 512, 3), 30, np.uint8) for _ in range(2))
    badge.draw(first)
    badge.draw(second)
    assert (first == second).all()
