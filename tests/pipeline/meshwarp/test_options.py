"""What the performer's options do to mesh-warp's pictures: axes of the head, position, background."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.core.animator import Cue, Motion, Portrait, Reference
from pipeline.core.options import KEY_COLOUR, AnimateOptions
from pipeline.face.pose import euler
from pipeline.meshwarp.animator import MeshWarp
from pipeline.meshwarp.motion_transfer import Rest, aim
from tests.support.faces import make_face

FACE, NEUTRAL = make_face(), make_face(scale=11)
REST = Rest(FACE.shape, FACE.pose)
PORTRAIT = Portrait("", np.zeros((8, 8, 3), np.uint8), FACE, ())
TURNED = make_face(yaw=8, pitch=-6, roll=7, x=20, y=12, scale=12)


def pose(**options: float):
    """Of the portrait: (yaw, pitch, roll) in degrees, pixels from rest, growth."""
    neutral = Reference(Motion(NEUTRAL), NEUTRAL.shape, NEUTRAL.pose, NEUTRAL.eye_ratio)
    aimed = aim(REST, Cue(PORTRAIT, AnimateOptions(**options), Motion(TURNED), neutral, 1.0)).pose
    moved = aimed.translation - REST.pose.translation
    return np.array([*euler(aimed.rotation), *moved[:2], aimed.scale / REST.pose.scale - 1])


@pytest.mark.parametrize(("name", "places"), [("yaw", [0]), ("pitch", [1]), ("roll", [2]), ("position", [3, 4, 5])])
def test_each_gain_of_the_head_stills_its_own_movement(name, places):
    free, still = pose(), pose(**{name: 0.0})
    others = [place for place in range(6) if place not in places]
    assert np.abs(free[places]).min() > 0.05
    assert still[places] == pytest.approx(0, abs=1e-3)
    assert still[others] == pytest.approx(free[others], abs=1e-3)


def test_the_gain_of_the_head_is_over_all_of_them():
    assert pose(head=0.0, yaw=2.0, position=2.0) == pytest.approx(0, abs=1e-3)


@pytest.fixture(scope="module")
def draw(models, astronaut):
    animator = MeshWarp(models, 256)
    portrait = animator.prepare(astronaut)
    return lambda **options: animator.animate([Cue(portrait, AnimateOptions(badge=False, **options))])[0]


def masks(draw) -> tuple[np.ndarray, np.ndarray]:
    """What is surely behind the person, and what is surely the person."""
    red, green = draw(background="colour", background_colour="#ff0000"), draw(background="transparent")
    changed = np.abs(red.astype(int) - green).max(-1)
    return changed == 255, changed == 0


def test_the_background_is_one_colour_and_the_person_stays(draw):
    behind, person = masks(draw)
    assert behind.mean() > 0.1 and person.mean() > 0.2
    teal = draw(background="colour", background_colour="#008080")
    assert np.all(teal[behind] == (0, 128, 128))
    assert np.all(teal[person] == draw()[person])


def test_transparent_is_the_key_colour(draw):
    behind, _ = masks(draw)
    key = tuple(bytes.fromhex(KEY_COLOUR[1:]))
    assert np.all(draw(background="transparent")[behind] == key)


def test_blur_takes_detail_from_the_background_alone(draw):
    behind, person = masks(draw)
    keep, blur = draw(), draw(background="blur")
    inner = cv2.erode(behind.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    detail = [np.abs(cv2.Laplacian(picture, cv2.CV_32F)).max(-1)[inner].mean() for picture in (keep, blur)]
    assert detail[1] < detail[0] / 2
    assert np.all(keep[person] == blur[person])


def test_a_colour_has_no_effect_where_the_background_is_kept(draw):
    assert np.all(draw() == draw(background_colour="#ff00ff"))


def test_a_person_that_cannot_be_cut_out_is_told(models, astronaut, monkeypatch):
    monkeypatch.setattr("pipeline.meshwarp.animator.SURE", -1.0)
    portrait = MeshWarp(models, 128).prepare(astronaut)
    assert any("cannot be separated" in warning for warning in portrait.warnings)
