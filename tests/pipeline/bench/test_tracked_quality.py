from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.bench.tracked_quality import GROUPS, PARAMETERS, QualitySample, gaze_x, mean, measure
from pipeline.face.face import Face
from tests.support.faces import make_face


def sample(driver, seen, intended=None):
    intended = intended or seen
    return QualitySample(driver, intended.landmarks, intended.pose, seen)


def shifted(face, x, y, ids=slice(None)):
    landmarks = face.landmarks.copy()
    landmarks[ids] += (x, y, 0)
    return Face(landmarks, 1.0)


def between_eyes(face):
    return np.linalg.norm(face.landmarks[33, :2] - face.landmarks[263, :2])


def test_errors_are_percent_of_the_interocular_distance():
    face = make_face()
    quality = measure([sample(face, shifted(face, 3, 4), face)] * 2)
    expected = 5 / between_eyes(face) * 100
    assert quality.errors == pytest.approx(dict.fromkeys(GROUPS, expected), rel=1e-4)
    assert quality.frames == 2


def test_errors_belong_to_their_group():
    face = make_face()
    moved = shifted(face, 6, 0, list(GROUPS["brows"]))
    errors = measure([sample(face, moved, face)]).errors
    assert errors.pop("brows") == pytest.approx(600 / between_eyes(face)) and max(errors.values()) == 0


def test_correlations_follow_the_driver():
    angles = np.linspace(0, 4 * math.pi, 40)
    drivers = [make_face(jaw=1 + math.sin(a), blink=0.4 + 0.4 * math.cos(a)) for a in angles]
    seen = [make_face(yaw=10, jaw=0.5 * (1 + math.sin(a)), blink=0.4 - 0.4 * math.cos(a)) for a in angles]
    correlations = measure([sample(a, b) for a, b in zip(drivers, seen, strict=True)]).correlations
    assert correlations["gap"] == pytest.approx(1, abs=1e-4)
    assert correlations["eye"] == pytest.approx(-1, abs=1e-4)


def test_a_constant_parameter_has_no_correlation():
    quality = measure([sample(make_face(), make_face())] * 3)
    assert all(math.isnan(quality.correlations[name]) for name in PARAMETERS)


def test_pose_error_in_degrees():
    seen = make_face(yaw=7, pitch=-4, roll=2)
    quality = measure([sample(seen, seen, make_face(yaw=5, pitch=-1, roll=2)), sample(seen, seen)])
    assert quality.pose_error == pytest.approx((1, 1.5, 0), abs=1e-3)
    assert quality.errors["nose"] > 0


def test_jitter_is_the_second_difference():
    face = make_face()
    places = [0, 0, 3, 0, 0]  # second differences 3, -6, 3, and 0 in y
    assert measure([sample(face, shifted(face, x, 0)) for x in places]).jitter == pytest.approx(2, abs=1e-4)
    assert measure([sample(face, shifted(face, x, 0)) for x in (0, 1, 2, 3)]).jitter == pytest.approx(0, abs=1e-4)
    assert measure([sample(face, face)]).jitter == 0


def test_mean_weighs_by_frames_and_skips_nan():
    face = make_face()
    one = measure([sample(face, shifted(face, 4, 0), face)])
    three = measure([sample(make_face(jaw=j), make_face(jaw=j)) for j in (0, 1, 2)])
    both = mean([one, three])
    assert both.frames == 4
    assert both.errors["lips"] == pytest.approx(one.errors["lips"] / 4)
    assert math.isnan(one.correlations["gap"]) and both.correlations["gap"] == pytest.approx(1)


def test_parameters_in_their_units():
    face = make_face(yaw=20, roll=10)
    assert abs(gaze_x(face)) < 0.02
    head = face.shape.copy()
    head[list(GROUPS["iris"]), 0] += 0.3
    width = abs(head[33, 0] - head[133, 0])
    assert gaze_x(Face(head * 10, 1.0)) == pytest.approx(0.3 / width, rel=0.05)
    raised = head.copy()
    raised[list(GROUPS["brows"]), 1] -= 0.5
    assert Face(raised, 1.0).brow_height - Face(head, 1.0).brow_height == pytest.approx(0.5, abs=0.02)
