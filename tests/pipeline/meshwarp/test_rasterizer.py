"""Triangles to texture maps."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.meshwarp.rasterizer import Window, around, rasterize

WHOLE = Window(0, 0, 64, 48)
SQUARE = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def square(left, top, right, bottom, depth=0.0):
    return np.array(
        [[left, top, depth], [right, top, depth], [right, bottom, depth], [left, bottom, depth]], np.float32
    )


def places(points):
    """Each vertex carries its own place, so that each pixel must show its centre."""
    return np.ascontiguousarray(points * np.float32([1, 1, 0]))


def centres(window, step=1):
    x = window.left + (np.arange(window.width // step) + 0.5) * step
    y = window.top + (np.arange(window.height // step) + 0.5) * step
    return np.stack(np.meshgrid(x, y), -1)


@pytest.mark.parametrize(("window", "step"), [(WHOLE, 1), (Window(8, 12, 40, 20), 1), (Window(-8, -8, 80, 64), 4)])
def test_interpolates_at_pixel_centres(window, step):
    points = square(-100.3, -100.7, 220.1, 190.9)
    picture = np.zeros((window.height // step, window.width // step, 3), np.float32)
    rasterize(points, SQUARE, places(points), window, picture, step)
    assert np.abs(picture[..., :2] - centres(window, step)).max() < 0.01


def test_depth_does_not_bend_the_map():
    points = square(-50, -50, 120, 120)
    points[:, 2] = (-200, 150, 0, 90)
    picture = np.zeros((48, 64, 3), np.float32)
    rasterize(points, SQUARE, places(points), WHOLE, picture)
    assert np.abs(picture[..., :2] - centres(WHOLE)).max() < 0.3


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_surface_wins(order):
    near, far = square(10, 10, 30, 30, depth=-5), square(0, 0, 64, 48, depth=5)
    points = np.concatenate([near, far])
    values = np.repeat(np.float32([[1, 0, 0], [2, 0, 0]]), 4, axis=0)
    triangles = np.concatenate([SQUARE + 4 * number for number in order]).astype(np.int32)
    picture = np.zeros((48, 64, 3), np.float32)
    rasterize(points, triangles, values, WHOLE, picture)
    assert np.allclose(picture[10:30, 10:30, 0], 1)
    outside = np.ones((48, 64), bool)
    outside[10:30, 10:30] = False
    assert np.allclose(picture[outside][:, 0], 2)


def test_uncovered_pixels_stay_as_they_were():
    points = square(10, 10, 30, 30)
    picture = np.full((48, 64, 3), 7, np.float32)
    rasterize(points, SQUARE, np.zeros((4, 3), np.float32), WHOLE, picture)
    assert (picture[..., 0] == 0).sum() == 400
    assert (picture[..., 0] == 7).sum() == 48 * 64 - 400


def test_both_sides_of_a_triangle_are_drawn():
    points = square(10, 10, 30, 30)
    picture = np.full((48, 64, 3), 7, np.float32)
    rasterize(points, np.ascontiguousarray(SQUARE[:, ::-1]), np.zeros((4, 3), np.float32), WHOLE, picture)
    assert (picture[..., 0] == 0).sum() == 400


def test_window_around_points_stays_inside():
    assert around(np.float32([[3.2, 4.9], [10.1, 20.0]]), 64, 2) == Window(1, 2, 12, 20)
    assert around(np.float32([[-50, -50], [500, 500]]), 64, 2) == Window(0, 0, 64, 64)
    outside = around(np.float32([[-50, 90], [-40, 99]]), 64, 2)
    assert (outside.width, outside.height) == (1, 1)
    assert 0 <= outside.left < 64
    assert 0 <= outside.top < 64
