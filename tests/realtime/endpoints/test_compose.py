"""Pictures put into others."""

from __future__ import annotations

import av
import numpy as np
import pytest

from pipeline.imaging.i420 import to_picture, to_planes
from realtime.endpoints.compose import beside, blank, fitted, split


def video(width: int, height: int, colour: tuple[int, int, int] = (200, 60, 60)) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((height, width, 3), colour, np.uint8), format="rgb24")


def lit(planes: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns that are not black."""
    rows, columns = (np.flatnonzero((split(planes)[0] > 30).any(axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def test_black():
    assert not to_picture(blank(32, 16)).any()


def test_a_picture_that_fits_stays_as_it_is():
    planes = to_planes(np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8))
    assert np.array_equal(fitted(av.VideoFrame.from_ndarray(planes, format="yuv420p"), 96, 64), planes)


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((640, 480), slice(16, 112), slice(0, 128)),
        ((30, 60), slice(0, 128), slice(32, 96)),
        ((641, 241), slice(40, 88), slice(0, 128)),
        ((128, 1), slice(62, 64), slice(0, 128)),
    ],
)
def test_others_lie_in_the_middle_of_black(size, rows, columns):
    canvas = fitted(video(*size), 128, 128)
    assert canvas.shape == (192, 128) and lit(canvas) == (rows, columns)
    middle = to_picture(canvas)[rows, columns][: rows.stop - rows.start]
    assert np.abs(middle.astype(int) - (200, 60, 60)).max() <= 6


def test_full_range_pictures_become_limited():
    full = av.VideoFrame.from_ndarray(np.full((96, 64), 128, np.uint8), format="yuvj420p")
    full.planes[0].update(bytes([255]) * full.planes[0].buffer_size)
    assert split(fitted(full, 64, 64))[0].max() in (234, 235)


def test_beside():
    left, right = (to_planes(np.full((6, 8, 3), colour, np.uint8)) for colour in ((200, 60, 60), (60, 60, 200)))
    picture = to_picture(beside(left, right))
    assert picture.shape == (6, 16, 3)
    assert np.array_equal(picture[:, :8], to_picture(left)) and np.array_equal(picture[:, 8:], to_picture(right))
