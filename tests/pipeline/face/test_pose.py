import numpy as np
import pytest

from pipeline.face.canonical import RIGID_IDS, RIGID_WEIGHTS, TRIANGLES, VERTICES
from pipeline.face.pose import HeadPose, euler, head_pose, rotation_from_euler, similarity

UNIFORM = np.full(5, 0.2, np.float32)
POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3], [1, 1, 1]], np.float32)


def test_canonical_face_looks_at_the_camera():
    assert VERTICES.shape == (468, 3)
    assert TRIANGLES.shape == (898, 3)
    assert RIGID_WEIGHTS.sum() == pytest.approx(1)
    assert VERTICES[10, 1] < VERTICES[152, 1]  # forehead above chin: y is down
    assert VERTICES[4, 2] == pytest.approx(VERTICES[:, 2].min(), abs=0.5)  # the nose is nearest: z is away
    assert VERTICES[33, 0] < 0 < VERTICES[263, 0]  # the subject's right eye is on the picture's left


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (0, -20, 0), (0, 0, 45), (-33, 21, -170), (80, -60, 10)])
def test_euler_and_back(angles):
    rotation = rotation_from_euler(*angles)
    assert euler(rotation) == pytest.approx(angles, abs=1e-4)
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-6)
    assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-6)


def test_rotation_is_yaw_after_pitch_after_roll():
    product = rotation_from_euler(20, 0, 0) @ rotation_from_euler(0, 30, 0) @ rotation_from_euler(0, 0, 40)
    assert rotation_from_euler(20, 30, 40) == pytest.approx(product, abs=1e-6)


def test_signs_of_the_angles():
    nose, right = np.array([0, 0, -1]), np.array([1, 0, 0])
    assert (rotation_from_euler(30, 0, 0) @ nose)[0] == pytest.approx(-0.5)  # yaw: to the picture's left
    assert (rotation_from_euler(0, 30, 0) @ nose)[1] == pytest.approx(0.5)  # pitch: down
    assert (rotation_from_euler(0, 0, 30) @ right)[1] == pytest.approx(0.5)  # roll: clockwise


@pytest.mark.parametrize("angles", [(0, 0, 0), (40, -20, 15), (-10, 30, 175)])
def test_similarity_is_exact_where_there_is_one(angles):
    rotation = rotation_from_euler(*angles)
    pose = similarity(POINTS, 12.5 * POINTS @ rotation.T + [3, -40, 7], UNIFORM)
    assert pose.rotation == pytest.approx(rotation, abs=1e-5)
    assert pose.scale == pytest.approx(12.5, abs=1e-4)
    assert pose.translation == pytest.approx([3, -40, 7], abs=1e-4)
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx(angles, abs=1e-3)


def test_similarity_ignores_points_without_weight():
    target = 2 * POINTS
    target[4] = [1000, -1000, 1000]
    pose = similarity(POINTS, target, np.array([0.25, 0.25, 0.25, 0.25, 0], np.float32))
    assert pose.rotation == pytest.approx(np.eye(3), abs=1e-6)
    assert pose.scale == pytest.approx(2, abs=1e-6)


def test_similarity_never_reflects():
    pose = similarity(POINTS, POINTS * [-1, 1, 1], UNIFORM)
    assert np.linalg.det(pose.rotation) == pytest.approx(1, abs=1e-5)


def test_head_pose_reads_only_the_rigid_landmarks():
    rotation = rotation_from_euler(15, 5, -8)
    landmarks = (9 * VERTICES @ rotation.T + [320, 240, 0]).astype(np.float32)
    others = np.setdiff1d(np.arange(468), RIGID_IDS)
    landmarks[others] += 50
    pose = head_pose(landmarks)
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((15, 5, -8), abs=1e-3)
    assert pose.scale == pytest.approx(9, abs=1e-4)


def test_to_head_undoes_to_picture():
    pose = HeadPose(rotation_from_euler(25, -12, 7), 8.5, np.array([100, 200, 3], np.float32))
    there = pose.to_picture(VERTICES)
    assert there.dtype == np.float32
    assert there[4] == pytest.approx(8.5 * pose.rotation @ VERTICES[4] + [100, 200, 3], abs=1e-3)
    assert pose.to_head(there) == pytest.approx(VERTICES, abs=1e-4)
