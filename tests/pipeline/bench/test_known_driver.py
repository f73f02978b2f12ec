from __future__ import annotations

import numpy as np
import pytest

from pipeline.bench.known_driver import CAMERA, LOOP, TURN, driving_frames, picture_and_face
from pipeline.face.find import find_faces
from pipeline.imaging.i420 import to_planes


@pytest.fixture(scope="module")
def frames():
    return list(driving_frames())


def test_the_face_is_where_the_portraits_is(models):
    picture, face = picture_and_face()
    [found, *_] = find_faces(picture, models)
    away = np.linalg.norm(face.landmarks[:468, :2] - found.landmarks[:468, :2], axis=1)
    assert away.mean() < 0.06 * found.width  # a mean face is not the portrait's
    assert face.landmarks.shape == (478, 3)


def test_the_drivers_face_is_where_the_camera_shows_it(frames, models):
    for frame in frames[:: LOOP // 4]:
        [found, *_] = find_faces(frame.picture, models)
        away = np.linalg.norm(frame.face.landmarks[:468, :2] - found.landmarks[:468, :2], axis=1)
        assert away.mean() < 0.06 * found.width


def test_the_driver_tilts_to_both_sides_in_a_loop(frames):
    rolls = [frame.face.pose.roll for frame in frames]
    assert len(frames) == LOOP
    assert max(rolls) - rolls[0] == pytest.approx(TURN, abs=0.2) == rolls[0] - min(rolls)
    assert np.abs(np.diff([*rolls, rolls[0]])).max() < 2  # no jump at its end
    sizes = [frame.face.width for frame in frames]
    assert max(sizes) / min(sizes) == pytest.approx(1.1 / 0.9, abs=0.02)


def test_planes_are_the_picture(frames):
    frame = frames[3]
    assert frame.picture.shape == (CAMERA[1], CAMERA[0], 3)
    assert frame.planes.shape == (CAMERA[1] * 3 // 2, CAMERA[0])
    again = to_planes(frame.picture)
    assert np.abs(again.astype(int) - frame.planes).mean() < 1
