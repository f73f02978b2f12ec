import math

import numpy as np
import pytest

from pipeline.face.region import Region, around_landmarks
from tests.support.faces import make_face

RAMP = np.repeat((np.arange(64, dtype=np.uint8) * 3)[None, :, None], 64, 0).repeat(3, 2)
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def place(region, size, point):
    return region.to_picture(size) @ [*point, 1]


def test_centre_and_corners():
    region = Region(100, 50, 40, 0.0)
    assert place(region, 192, (96, 96)) == pytest.approx([100, 50])
    assert place(region, 192, (0, 0)) == pytest.approx([80, 30])
    assert place(region, 192, (192, 0)) == pytest.approx([120, 30])


def test_positive_angle_is_clockwise():
    region = Region(100, 50, 40, math.pi / 2)
    assert place(region, 10, (10, 5)) == pytest.approx([100, 70], abs=1e-4)  # the crop's right is the picture's bottom
    assert place(region, 10, (5, 0)) == pytest.approx([120, 50], abs=1e-4)


def test_crop_of_the_same_scale_copies_pixels():
    here = NOISE[16:32, 12:28].astype(int)
    assert np.abs(Region(20, 24, 16, 0.0).crop(NOISE, 16) - here).max() <= 1
    assert np.abs(Region(20, 24, 16, math.pi / 2).crop(NOISE, 16) - np.rot90(here)).max() <= 1


def test_crop_interpolates_between_pixel_centres():
    assert Region(32, 32, 8, 0.0).crop(RAMP, 16)[8, :, 0] == pytest.approx(
        [np.clip(3 * (28 + (i + 0.5) / 2 - 0.5), 0, 255) for i in range(16)], abs=0.6
    )


def test_crop_repeats_the_border():
    crop = Region(0, 32, 32, 0.0).crop(RAMP + 7, 32)
    assert (crop[:, :16] == 7).all()


def test_strong_reduction_averages():
    stripes = np.zeros((1024, 1030, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(Region(512, 512, 800, 0.0).crop(stripes, 100).astype(int) - 100).max() <= 1


def test_strong_reduction_keeps_places():
    step = np.zeros((1000, 1003, 3), np.uint8)
    step[:, 500:] = 200
    crop = Region(500, 500, 900, 0.0).crop(step, 100)  # 5 does not divide the width
    assert (crop[:, :49] == 0).all()
    assert (crop[:, 51:] == 200).all()
    assert crop[:, 49:51].mean() == pytest.approx(100, abs=2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 5)])
def test_tiny_pictures_can_be_cropped(shape):
    picture = np.full((*shape, 3), 9, np.uint8)
    assert (Region(0, 0, 900, 0.3).crop(picture, 32) == 9).all()


@pytest.mark.parametrize("roll", [0, 30, -75, 170])
def test_around_landmarks_is_upright_with_the_eyes(roll):
    face = make_face(roll=roll, x=40)
    region = around_landmarks(face.landmarks)
    assert math.degrees(region.angle) == pytest.approx(roll, abs=0.1)
    upright = around_landmarks(make_face(x=40).landmarks)
    assert region.side == pytest.approx(upright.side, rel=1e-4)
    points = make_face(x=40).landmarks[:468, :2]
    assert upright.side == pytest.approx(1.5 * np.ptp(points, axis=0).max(), rel=1e-4)
    assert (upright.x, upright.y) == pytest.approx((points.min(0) + points.max(0)) / 2, abs=1e-2)


def test_moved_and_scaled():
    region = Region(10, 20, 30, 0.5)
    assert region.moved(3, -4) == Region(13, 16, 30, 0.5)
    assert region.scaled(0.5) == Region(5, 10, 15, 0.5)
