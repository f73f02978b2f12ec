"""Pictures as planes: there and back, and smaller."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.imaging.i420 import reduced, to_picture, to_planes


@pytest.mark.parametrize(("share", "side"), [(1.0, 512), (0.75, 384), (0.5, 256), (0.26, 128), (0.25, 128)])
def test_a_smaller_picture_is_the_same_picture(share: float, side: int) -> None:
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[:, 256:] = 200, 60, 60
    planes = reduced(to_planes(picture), share)
    assert planes.shape == (side * 3 // 2, side)
    small = to_picture(planes)
    assert np.abs(small[:, : side // 2 - 4].astype(int)).max() <= 2
    assert np.abs(small[:, side // 2 + 4 :] - np.array([200, 60, 60])).max() <= 3


def test_sides_are_whole_macroblocks_and_at_least_one() -> None:
    assert reduced(to_planes(np.zeros((100, 480, 3), np.uint8)), 0.5).shape == (48 * 3 // 2, 240)
    assert reduced(to_planes(np.zeros((32, 32, 3), np.uint8)), 0.25).shape == (24, 16)
