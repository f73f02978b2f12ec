import cv2
import numpy as np
import pytest

from pipeline.face.find import distinct, find_faces, tiles
from tests.support.faces import make_face


def test_tiles_of_the_whole_picture():
    assert tiles(640, 480, 1) == [(0, 0, 640)]
    assert tiles(1, 1, 1) == [(0, 0, 1)]


def test_smaller_tiles_overlap_by_half():
    assert tiles(800, 400, 2) == [(0, 0, 400), (200, 0, 400), (400, 0, 400)]
    assert len(tiles(512, 512, 4)) == 7 * 7


@pytest.mark.parametrize("size", [(640, 480), (1079, 1920), (3, 500), (5, 5), (1, 1)])
@pytest.mark.parametrize("zoom", [1, 2, 4])
def test_tiles_cover_the_picture(size, zoom):
    width, height = size
    covered = np.zeros((height, width), bool)
    for left, top, side in tiles(width, height, zoom):
        assert left >= 0 and top >= 0
        covered[top : top + side, left : left + side] = True
    assert covered.all()


def test_distinct_keeps_one_of_each_the_biggest_first():
    small, again, large = make_face(scale=8), make_face(scale=8, x=3), make_face(scale=20, x=300)
    assert distinct([small, again, large]) == [large, small]
    assert distinct([]) == []


def paste(astronaut, width, height, scale, left, top):
    picture = np.full((height, width, 3), 120, np.uint8)
    small = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture[top : top + small.shape[0], left : left + small.shape[1]] = small
    return picture


@pytest.mark.parametrize(
    "width, height, scale", [(640, 480, 0.5), (640, 480, 0.3), (1920, 1080, 0.5), (3840, 2160, 0.7)]
)
def test_small_faces_in_large_pictures(models, astronaut, width, height, scale):
    (face,) = find_faces(paste(astronaut, width, height, scale, width // 3, height // 4), models)
    assert face.width == pytest.approx(92 * scale, rel=0.05)
    expected = np.array([width // 3 + 224 * scale, height // 4 + 126 * scale])
    assert face.landmarks[4, :2] == pytest.approx(expected, abs=4)


def test_two_faces_the_biggest_first(models, astronaut):
    picture = paste(astronaut[:300, 100:400], 600, 450, 1.0, 290, 20)
    picture[100:310, 20:230] = cv2.resize(astronaut[:300, 100:400], (210, 210), interpolation=cv2.INTER_AREA)
    large, small = find_faces(picture, models)
    assert large.width == pytest.approx(92, rel=0.05)
    assert small.width == pytest.approx(92 * 0.7, rel=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (500, 3), (480, 640)])
def test_nobody(models, shape):
    noise = np.random.default_rng(2).integers(0, 256, (*shape, 3), np.uint8)
    assert find_faces(noise, models) == []
    assert find_faces(np.zeros_like(noise), models) == []


def test_a_face_too_small_to_read_is_nobody(models, astronaut):
    assert find_faces(paste(astronaut, 640, 480, 0.15, 200, 150), models) == []
