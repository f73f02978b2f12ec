import cv2
import numpy as np
import pytest

from pipeline.face.detector import Detection, FaceDetector, decode, merge, overlaps

BOXES = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30]], np.float32)


def test_overlaps_is_intersection_over_union():
    assert overlaps(BOXES[0], BOXES) == pytest.approx([1, 1 / 3, 1, 0])


def test_overlaps_of_empty_boxes_is_nothing():
    empty = np.array([3, 3, 3, 3], np.float32)
    assert overlaps(empty, np.array([empty, BOXES[0]])) == pytest.approx([0, 0])


def test_merge_averages_by_score():
    points = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((4, 6, 2), np.float32)
    near, far = merge(BOXES, points, np.array([0.6, 0.9, 0.5, 0.7], np.float32))
    assert near.score == pytest.approx(0.9)
    assert near.box == pytest.approx([5 * 0.9 / 2, 0, (6 + 5 + 0.9 * 15) / 2, 10])
    assert near.points == pytest.approx(np.full((6, 2), (0.9 * 1 + 0.5 * 2) / 2))
    assert far.score == pytest.approx(0.7)
    assert far.box == pytest.approx(BOXES[3])


def test_merge_of_nothing_and_of_empty_boxes_ends():
    assert merge(np.zeros((0, 4)), np.zeros((0, 6, 2)), np.zeros(0)) == []
    assert len(merge(np.zeros((3, 4)), np.zeros((3, 6, 2)), np.full(3, 0.8))) == 3


def test_decode_is_relative_to_the_anchor():
    raw = np.zeros((1, 16), np.float32)
    raw[0, :4] = 0.1, -0.2, 0.4, 0.6
    raw[0, 4:6] = 0.25, -0.25
    boxes, points = decode(raw, np.array([[0.5, 0.5]], np.float32))
    assert boxes[0] == pytest.approx([0.4, 0.0, 0.8, 0.6])
    assert points[0, 0] == pytest.approx([0.75, 0.25])
    assert points[0, 1] == pytest.approx([0.5, 0.5])


def test_region_of_a_detection():
    points = np.zeros((6, 2), np.float32)
    points[0], points[1] = (40, 40), (40, 60)  # eyes one above the other: a quarter turn
    region = Detection(1.0, np.array([10, 20, 50, 80], np.float32), points).region
    assert (region.x, region.y, region.side) == (30, 50, 90)
    assert region.angle == pytest.approx(np.pi / 2)


@pytest.mark.parametrize("far", [False, True])
def test_astronaut(models, astronaut, far):
    (face,) = FaceDetector(models, far).detect(astronaut)
    assert face.score > 0.9
    right_eye, left_eye, nose, mouth = face.points[:4]
    assert right_eye == pytest.approx([203, 104], abs=8)
    assert left_eye == pytest.approx([243, 106], abs=8)
    assert nose == pytest.approx([224, 126], abs=8)
    assert mouth == pytest.approx([225, 149], abs=8)
    left, top, right, bottom = face.box
    assert left < right_eye[0] < left_eye[0] < right
    assert top < right_eye[1] < mouth[1] < bottom


def test_biggest_first_in_a_wide_picture(models, astronaut):
    pair = np.full((450, 600, 3), 120, np.uint8)
    pair[20:320, 290:590] = astronaut[:300, 100:400]
    pair[100:310, 20:230] = cv2.resize(astronaut[:300, 100:400], (210, 210), interpolation=cv2.INTER_AREA)
    large, small = FaceDetector(models, far=True).detect(pair)
    assert large.area > 1.5 * small.area
    assert large.points[2] == pytest.approx([290 + 124, 20 + 126], abs=12)
    assert small.points[2] == pytest.approx([20 + 124 * 0.7, 100 + 126 * 0.7], abs=12)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (700, 2), (480, 640)])
def test_no_face_in_black(models, shape, far):
    assert FaceDetector(models, far).detect(np.zeros((*shape, 3), np.uint8)) == []
