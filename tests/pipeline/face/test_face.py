import numpy as np
import pytest

from pipeline.face.canonical import VERTICES
from pipeline.face.face import Face
from tests.support.faces import make_face

POSES = [{}, {"yaw": 30}, {"pitch": -20, "roll": 40}, {"x": 90, "y": -50, "scale": 4}]


@pytest.mark.parametrize("pose", POSES)
def test_shape_is_free_of_pose(pose):
    face = make_face(**pose)
    assert face.shape.shape == (478, 3)
    assert face.shape[:468] == pytest.approx(VERTICES, abs=1e-3)
    assert face.misfit == pytest.approx(0, abs=1e-3)
    assert face.pose.yaw == pytest.approx(pose.get("yaw", 0), abs=1e-2)


@pytest.mark.parametrize("pose", POSES)
def test_ratios_are_free_of_pose(pose):
    open_eyes, shut = make_face(**pose), make_face(blink=1, **pose)
    half = make_face(blink=0.5, jaw=1.25, **pose)
    assert open_eyes.eye_ratio[0] == pytest.approx(open_eyes.eye_ratio[1], abs=1e-3)
    assert half.eye_ratio[0] == pytest.approx(open_eyes.eye_ratio[0] / 2, abs=1e-3)
    assert shut.eye_ratio == pytest.approx((0, 0), abs=1e-3)
    assert half.lip_gap - open_eyes.lip_gap == pytest.approx(1.25, abs=0.05)  # the chin counts a little in the pose
    assert half.lip_width == pytest.approx(open_eyes.lip_width, abs=0.05)


def test_one_eye_can_be_shut():
    landmarks = make_face().landmarks.copy()
    landmarks[[160, 159, 158]] = landmarks[[144, 145, 153]]
    right, left = Face(landmarks, 1.0).eye_ratio
    assert right == pytest.approx(0, abs=1e-3)
    assert left > 0.2


def test_size_in_pixels():
    small, large = make_face(scale=5), make_face(scale=10, yaw=35)
    assert small.width == pytest.approx(5 * np.linalg.norm(VERTICES[234] - VERTICES[454]), rel=1e-4)
    assert large.width == pytest.approx(2 * small.width, rel=1e-4)
    assert large.height == pytest.approx(2 * small.height, rel=1e-4)


def test_misfit_is_in_centimetres():
    landmarks = make_face(scale=10).landmarks.copy()
    assert Face(landmarks, 1.0).misfit < 0.01
    landmarks[:, 0] *= 1.3  # a head that is far too wide
    assert 0.3 < Face(landmarks, 1.0).misfit < 2
