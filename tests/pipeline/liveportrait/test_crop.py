"""Crops, landmarks and paste-back; the official numbers are in test_liveportrait_vectors.py."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from pipeline.face.face import Face  # noqa: E402
from pipeline.liveportrait import crop, landmarks  # noqa: E402
from pipeline.liveportrait.crop import (  # noqa: E402
    DRIVING,
    SOURCE,
    Box,
    CropRule,
    face_box,
    follow,
    placement,
)
from pipeline.liveportrait.landmarks import Outline  # noqa: E402
from pipeline.liveportrait.paste import Paster, feather_mask, to_input, to_pixels  # noqa: E402
from tests.support import reference  # noqa: E402

SQUARE = Outline(
    np.array([[100.0, 50.0], [200.0, 50.0], [200.0, 150.0], [100.0, 150.0]]),
    np.array([150.0, 80.0]),
    np.array([150.0, 120.0]),
)


def turned(outline: Outline, degrees: float) -> Outline:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rotation = np.array([[c, -s], [s, c]])
    return Outline(*(points @ rotation.T for points in (outline.points, outline.eyes, outline.mouth)))


def test_the_source_crop_of_a_square_face():
    box = face_box(SQUARE, SOURCE)
    assert box.side == pytest.approx(230)
    assert box.centre == pytest.approx((150, 100 - 0.125 * 230))
    assert box.angle == 0


def test_the_source_crop_turns_with_the_head_and_the_driving_crop_does_not():
    assert face_box(turned(SQUARE, 30), SOURCE).angle == pytest.approx(math.radians(30))
    assert face_box(turned(SQUARE, -140), SOURCE).angle == pytest.approx(math.radians(-140))
    assert face_box(turned(SQUARE, 30), DRIVING).angle == 0


def test_a_turned_face_gives_the_same_crop():
    upright, tilted = face_box(SQUARE, SOURCE), face_box(turned(SQUARE, 30), SOURCE)
    expected = reference.transform(SQUARE.points, upright.matrix())
    assert reference.transform(turned(SQUARE, 30).points, tilted.matrix()) == pytest.approx(expected)


def test_a_face_without_direction_is_upright():
    nowhere = Outline(SQUARE.points, SQUARE.eyes, SQUARE.eyes)
    assert face_box(nowhere, SOURCE).angle == 0


def test_corners_of_the_box_are_corners_of_the_crop():
    box = face_box(turned(SQUARE, 25), SOURCE)
    assert reference.transform(reference.corners(box), box.matrix()) == pytest.approx(
        np.array([[0, 0], [512, 0], [512, 512], [0, 512]]), abs=1e-9
    )


def mesh() -> Face:
    """A face whose landmarks all lie at (50, 50) but the few that ratios and crops name."""
    points = np.full((478, 3), 50.0, np.float32)
    points[list(landmarks.RIGHT_EYE), :2] = (30, 40), (35, 39), (40, 40), (35, 41)
    points[list(landmarks.LEFT_EYE), :2] = (60, 40), (65, 37), (70, 40), (65, 43)
    points[list(landmarks.LIPS), :2] = (40, 70), (50, 65), (60, 70), (50, 75)
    points[152, :2] = (50, 90)
    return Face(points, 1.0)


def test_ratios_of_the_mesh():
    assert landmarks.mesh_ratios(mesh()) == pytest.approx((0.2, 0.6, 0.5), abs=1e-5)


def test_outline_of_the_mesh():
    outline = landmarks.mesh_outline(mesh())
    assert outline.eyes == pytest.approx((49.5, 39.5)) and outline.mouth == pytest.approx((49.5, 69.5))
    assert outline.points.max(0)[1] == 89.5  # the chin, where the first pixel's centre is at 0


def test_outline_has_jaw_and_brows_but_no_forehead():
    assert {152, 234, 454, 105, 334, 4} <= set(landmarks.OUTLINE)
    assert not {10, 109, 338, 54, 284} & set(landmarks.OUTLINE)


HELD = Box(np.array([100.0, 100.0]), 200.0)


def test_the_first_driving_crop_is_the_faces():
    assert follow(None, HELD, 0.033) is HELD


@pytest.mark.parametrize("shift", [(0, 0), (20, 0), (0, -23)])
@pytest.mark.parametrize("zoom", [1, 1.19, 0.84])
def test_the_driving_crop_does_not_breathe(shift, zoom):
    near = Box(HELD.centre + shift, HELD.side * zoom)
    box = follow(HELD, near, 0.033)
    assert (box.centre == HELD.centre).all() and box.side == HELD.side


def test_the_driving_crop_follows_until_the_face_is_near_again():
    far, box = Box(np.array([180.0, 100.0]), 200.0), HELD
    steps = []
    for _ in range(300):
        steps.append(box.centre[0])
        box = follow(box, far, 1 / 30)
    assert (np.diff(steps) >= 0).all() and np.diff(steps).max() < 5
    assert box.centre == pytest.approx((180 - crop.STILL_SHIFT * 200, 100), abs=1e-3)


def test_following_does_not_depend_on_the_frame_rate():
    def after(steps: int) -> Box:
        box = HELD
        for _ in range(steps):
            box = follow(box, Box(np.array([180.0, 100.0]), 300.0), 1 / steps)
        return box

    assert after(1).side == pytest.approx(after(60).side)
    assert after(15).centre == pytest.approx(after(60).centre, abs=1)


def test_the_driving_crop_goes_at_once_where_the_face_appears():
    away = Box(np.array([300.0, 100.0]), 200.0)
    assert follow(HELD, away, 0.033) is away
    small = Box(HELD.centre, 90.0)
    assert follow(HELD, small, 0.033) is small


def test_placement():
    offset, zoom = placement(Box(np.array([150.0, 100.0]), 100.0), HELD)
    assert offset.tolist() == [0.5, 0.0] and zoom == 0.5


def test_sources_are_fitted():
    assert crop.fitted(np.zeros((601, 303, 3), np.uint8)).shape == (600, 302, 3)
    assert crop.fitted(np.zeros((1000, 2561, 3), np.uint8)).shape == (498, 1280, 3)


def test_halving_rounds_the_mean():
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 0], picture[0, 1] = 1, 1
    assert crop.halved(picture)[0, 0].tolist() in ([0, 0, 0], [1, 1, 1])  # half to even or up, by the OpenCV build
    picture[1, 0] = 1
    assert crop.halved(picture)[0, 0].tolist() == [1, 1, 1]


def test_the_mask_fades_over_16_pixels_and_is_round_at_the_corners():
    mask = feather_mask()[0, 0]
    assert mask[256, 0] == 0 and mask[256, 8] == 127 and mask[256, 16] == 255 and mask[256, 511] == 15
    assert mask[0, 0] == 0 and mask[4, 4] == 0 and (mask[16:497, 16:497] == 255).all()


def test_pasting_a_crop_back_changes_nothing():
    rows, columns = np.mgrid[:240, :320]
    picture = np.stack((rows, columns / 2, 200 - rows / 2), -1).astype(np.uint8)
    matrix = Box(np.array([160.0, 110.0]), 140.0, 0.3).matrix()
    pasted = Paster(picture, np.linalg.inv(matrix), "cpu")(to_input(crop.cut(picture, matrix), "cpu"))[0].numpy()
    # the official mask is not quite 0 at the right and lower edge, where the crop fades into black
    assert np.abs(pasted.astype(int) - picture).max() <= 3


def test_pasting_leaves_the_rest_of_the_picture():
    picture = np.full((100, 120, 3), 77, np.uint8)
    box = Box(np.array([50.0, 50.0]), 40.0)
    pasted = Paster(picture, np.linalg.inv(box.matrix()), "cpu")(torch.ones(2, 3, 512, 512)).numpy()
    assert pasted.shape == (2, 100, 120, 3) and pasted.dtype == np.uint8
    assert (pasted[:, 45:55, 45:55] == 255).all()
    assert (pasted[:, :30] == 77).all() and (pasted[:, :, 71:] == 77).all()


def test_pixels_are_truncated():
    values = torch.tensor([-1, 0, 0.9999, 1, 2.0]).reshape(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert to_pixels(values)[0, 0, :, 0].tolist() == [0, 0, 254, 255, 255]


def test_rules_are_the_official_ones():
    assert (CropRule(2.3, -0.125, True), CropRule(2.2, -0.1, False)) == (SOURCE, DRIVING)
