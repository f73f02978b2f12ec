"""Shading that follows the head."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.animator import Idle
from pipeline.meshwarp.light import INSIDE, LIMITS, Light, estimate, normals
from pipeline.meshwarp.motion_transfer import PoseChange, Rest, Target, posed
from tests.support.faces import make_face

FACE = make_face()
REST = Rest(FACE.shape, FACE.pose)


def target(yaw: float) -> Target:
    return Target(REST.shape, posed(REST, PoseChange((yaw, 0, 0)), Idle()), (1, 1), REST.shape, 0.0)


def lit(direction, ambient=0.6) -> Light:
    direction = np.array(direction, np.float32)
    return Light(ambient, direction, ambient + normals(REST.shape) @ direction)


def test_normals_point_out_of_the_face():
    found = normals(REST.shape)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert found[4] == pytest.approx((0, -0.15, -0.99), abs=0.02)  # the nose's tip, towards the camera
    assert found[234, 0] < -0.5 < 0.5 < found[454, 0]  # the sides


def test_no_turn_no_change():
    assert lit((-0.3, -0.1, -0.3)).shading(target(0)) == pytest.approx(1, abs=1e-5)


def test_the_cheek_that_turns_to_the_light_gets_brighter():
    light = lit((-0.35, 0, -0.1))  # from the picture's left
    left_cheek, right_cheek = 50, 280
    towards = light.shading(target(-20))  # the picture's left cheek comes to the front, away from the lamp's side
    away = light.shading(target(20))
    assert (towards[right_cheek] - 1) * (away[right_cheek] - 1) < 0
    assert (towards[left_cheek] - 1) * (away[left_cheek] - 1) < 0
    for shading in (towards, away):
        assert LIMITS[0] <= shading.min() <= shading.max() <= LIMITS[1]
        assert (shading[INSIDE == 0] == 1).all()


def test_estimate_finds_the_lamp():
    uv = REST.landmarks[:468, :2].copy()
    x = np.arange(512, dtype=np.float32)
    ramp = np.clip(160 - 0.6 * (x - 256), 0, 255).astype(np.uint8)  # brighter on the picture's left
    picture = np.repeat(np.tile(ramp, (512, 1))[..., None], 3, 2)
    light = estimate(picture, uv, REST)
    assert light.direction[0] < -0.1
    assert abs(light.direction[1]) < 0.5 * abs(light.direction[0])
    flat = estimate(np.full((512, 512, 3), 120, np.uint8), uv, REST)
    assert flat.direction == pytest.approx(0, abs=1e-4)
    assert flat.shading(target(25)) == pytest.approx(1, abs=1e-3)


def test_estimate_survives_a_black_picture():
    light = estimate(np.zeros((512, 512, 3), np.uint8), REST.landmarks[:468, :2].copy(), REST)
    assert np.isfinite(light.shading(target(20))).all()
