"""Motion transfer: numbers in, numbers out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.core.animator import Cue, Idle, Motion, Portrait, Reference
from pipeline.core.options import AnimateOptions
from pipeline.face import groups
from pipeline.face.face import Face
from pipeline.meshwarp import motion_transfer
from pipeline.meshwarp.lips import open_lips
from pipeline.meshwarp.motion_transfer import Rest, aim, gaze, limit_turn, soft_limit, with_lids
from tests.support.faces import make_face

FACE = make_face(y=30)
REST = Rest(FACE.shape, FACE.pose)
NEUTRAL = make_face(scale=11, x=-60)
PORTRAIT = Portrait("", np.zeros((8, 8, 3), np.uint8), FACE, ())


def reference(face: Face = NEUTRAL) -> Reference:
    return Reference(Motion(face), face.shape, face.pose, face.eye_ratio)


def target(driver: Face | None, rest: Rest = REST, blend: float = 1.0, idle: Idle = Idle(), **options):
    motion = Motion(driver) if driver else None
    cue = Cue(PORTRAIT, AnimateOptions(**options), motion, reference(), blend, idle)
    return aim(rest, cue)


def driver(**change) -> Face:
    return make_face(**{"scale": 11, "x": -60, **change})


def gap(shape) -> float:
    return float(shape[14, 1] - shape[13, 1])


def closeness(a, b) -> float:
    return float(np.abs(a - b).max())


def test_neutral_is_rest():
    aimed = target(NEUTRAL)
    # the canonical lips are .55 cm apart, so contact is asked for, which is at most a press of .04 cm
    assert closeness(aimed.shape, REST.shape) < 0.05
    assert closeness(aimed.pose.rotation, REST.pose.rotation) < 1e-5
    assert closeness(aimed.pose.translation, REST.pose.translation) < 1e-3
    assert aimed.openness == pytest.approx((1, 1))


STRONG = driver(yaw=20, pitch=-12, roll=15, x=20, y=25, jaw=2, blink=1)


@pytest.mark.parametrize("aimed", [target(STRONG, blend=0.0), target(None), target(STRONG, head=0.0, expression=0.0)])
def test_without_presence_motion_or_gains_nothing_moves(aimed):
    assert (aimed.shape == REST.shape).all()
    assert (aimed.eyeballs == REST.shape).all()
    assert aimed.pose.rotation == pytest.approx(REST.pose.rotation, abs=1e-6)
    assert (aimed.pose.translation == REST.pose.translation).all()
    assert aimed.pose.scale == REST.pose.scale


def test_all_part_gains_zero_are_still_too():
    aimed = target(STRONG, head=0.0, mouth=0.0, brows=0.0, eyes=0.0, gaze=0.0)
    still = [*groups.LIPS_INNER_LOWER, groups.CHIN, *groups.RIGHT_BROW, *groups.RIGHT_EYE_UPPER, *groups.LEFT_IRIS]
    assert (aimed.shape[still] == REST.shape[still]).all()


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(15, 0, 0), (0, -10, 0), (0, 0, 20), (-12, 8, 10)])
def test_head_turns_as_the_driver_does(yaw, pitch, roll):
    pose = target(driver(yaw=yaw, pitch=pitch, roll=roll)).pose
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((yaw, pitch, roll), abs=0.01)


def test_presence_and_gain_scale_the_turn():
    assert target(driver(yaw=10), blend=0.5).pose.yaw == pytest.approx(5, abs=0.01)
    assert target(driver(yaw=8), head=2.0).pose.yaw == pytest.approx(16, abs=0.01)


def test_travel_is_measured_in_head_sizes_and_limited():
    moved = target(driver(x=-60 + 11, y=0)).pose.translation - REST.pose.translation
    assert moved[0] == pytest.approx(REST.pose.scale * 6 * np.tanh(1 / 6), rel=1e-3)
    far = target(driver(x=900)).pose.translation - REST.pose.translation
    assert far[0] <= 6 * REST.pose.scale * 1.0001


def test_a_head_cut_off_above_hardly_moves_down():
    cut = dataclasses.replace(REST, headroom=0.7)
    down, up = (target(driver(y=y), rest=cut).pose.translation[1] - REST.pose.translation[1] for y in (300, -300))
    assert 0.6 * REST.pose.scale < down <= 0.7 * REST.pose.scale * 1.0001
    assert up < -4 * REST.pose.scale


def test_growth_is_limited():
    assert target(driver(scale=12.1)).pose.scale == pytest.approx(1.1 * REST.pose.scale, rel=1e-4)
    assert target(driver(scale=40)).pose.scale == pytest.approx(1.25 * REST.pose.scale, rel=1e-4)
    assert target(driver(scale=4)).pose.scale == pytest.approx(0.8 * REST.pose.scale, rel=1e-4)


def test_soft_limit():
    assert soft_limit(10, 32) == 10
    assert soft_limit(-19.2, 32) == -19.2
    assert soft_limit(32, 32) == pytest.approx(19.2 + 12.8 * np.tanh(1))
    assert soft_limit(1e6, 32) == pytest.approx(32)
    values = [soft_limit(angle, 32) for angle in np.linspace(-90, 90, 181)]
    assert (np.diff(values) >= 0).all()


@pytest.mark.parametrize("side", [1, -1])
def test_a_half_profile_turns_little_towards_its_hidden_cheek(side):
    towards, _, _ = limit_turn((-60 * side, 0, 0), 36.0 * side)
    away, _, _ = limit_turn((60 * side, 0, 0), 36.0 * side)
    assert abs(towards) == pytest.approx(6, abs=0.01)
    assert abs(away) == pytest.approx(14, abs=0.01)


def test_the_mouth_opens_as_far_as_the_drivers():
    for jaw in (0.5, 1.0, 2.0):
        aimed = target(driver(jaw=jaw))
        assert gap(aimed.shape) == pytest.approx(gap(driver(jaw=jaw).shape), abs=0.1)


def test_mouth_gain():
    plain, more, none = (target(driver(jaw=1.0), mouth=gain).shape for gain in (1.0, 1.5, 0.0))
    opened = gap(plain) - gap(REST.shape)
    assert gap(more) - gap(REST.shape) == pytest.approx(1.5 * opened, rel=0.02)
    assert gap(none) == pytest.approx(gap(REST.shape), abs=1e-5)


def test_an_open_source_closes_with_the_driver():
    shut = driver(jaw=-gap(NEUTRAL.shape))
    assert abs(gap(shut.shape)) < 0.05
    face = make_face(jaw=0.8)
    smiling = Rest(face.shape, face.pose)
    assert smiling.lip_gap > 1
    assert abs(gap(target(shut, rest=smiling).shape)) < 0.05


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_lips_never_overlap(gain):
    pressed = driver(jaw=-gap(NEUTRAL.shape) - 0.4)
    shape = target(pressed, mouth=gain).shape
    gaps = shape[list(groups.LIPS_INNER_LOWER), 1] - shape[list(groups.LIPS_INNER_UPPER), 1]
    rest = REST.shape[list(groups.LIPS_INNER_LOWER), 1] - REST.shape[list(groups.LIPS_INNER_UPPER), 1]
    assert (gaps > np.minimum(rest, 0) - 0.01).all()


def smiling(width: float, scale: float = 14) -> Face:
    """The canonical face with its mouth's width multiplied."""
    face = make_face(scale=scale)
    shape = face.shape.copy()
    shape[motion_transfer.LIPS, 0] *= width
    return dataclasses.replace(face, landmarks=face.pose.to_picture(shape))


def mouth_width(shape) -> float:
    return float(np.linalg.norm(shape[61] - shape[291]))


@pytest.mark.parametrize(("source_smile", "least", "most"), [(1.0, 0.85, 1.0), (1.5, 0.2, 0.5)])
def test_a_smile_is_added_as_far_as_the_sources_mouth_has_room(source_smile, least, most):
    source = smiling(source_smile)
    rest = Rest(source.shape, source.pose)
    broad = [target(smiling(1 + by, scale=11), rest=rest).shape for by in (0.05, 0.1, 0.15, 0.2, 0.25)]
    widths = [mouth_width(shape) / mouth_width(rest.shape) - 1 for shape in broad]
    assert (np.diff(widths) > 0).all()  # a broader smile is never shown narrower
    assert least < widths[-1] / 0.25 < most
    assert mouth_width(target(smiling(0.8, scale=11), rest=rest).shape) / mouth_width(rest.shape) == pytest.approx(
        0.8, abs=0.01
    )


def test_half_of_what_the_skull_seems_to_move_is_left_out():
    face = driver()
    shape = face.shape.copy()
    shape[[groups.FOREHEAD, groups.RIGHT_SIDE, groups.CHIN], 0] += 0.4
    moved = dataclasses.replace(face, landmarks=face.pose.to_picture(shape))
    change = (target(moved).shape - target(face).shape)[:, 0]
    assert change[groups.FOREHEAD] == pytest.approx(0.2, abs=0.01)
    assert change[groups.CHIN] == pytest.approx(0.4, abs=0.02)


def test_open_lips_parts_the_inner_ring_exactly():
    change = np.zeros((478, 3), np.float32)
    open_lips(change, np.full(9, 0.6, np.float32))
    assert change[list(groups.LIPS_INNER_UPPER), 1] == pytest.approx(-0.21, abs=1e-6)
    assert change[list(groups.LIPS_INNER_LOWER), 1] == pytest.approx(0.39, abs=1e-6)
    assert (change[:, [0, 2]] == 0).all()
    assert (change[[*groups.INNER_CORNERS, *groups.OUTER_CORNERS]] == 0).all()


def test_the_skin_under_the_lip_does_not_fold():
    """The tracker sees lips move more than the skin below them."""
    face = driver()
    landmarks = face.shape.copy()
    lips = [*groups.LIPS_INNER_LOWER, *groups.LIPS_SEMI_INNER_LOWER, *groups.LIPS_OUTER_LOWER]
    landmarks[lips, 1] += 3.5
    landmarks[groups.CHIN, 1] += 1.5
    moved = dataclasses.replace(face, landmarks=face.pose.to_picture(landmarks))
    column = target(moved).shape[[14, 17, 18, 200, 199, 175, 152], 1]
    assert (np.diff(column) > 0).all()


def test_blink_closes_and_gain_zero_keeps_open():
    aimed = target(driver(blink=1.0))
    assert aimed.openness == pytest.approx((0, 0), abs=0.01)
    lids = aimed.shape[list(groups.RIGHT_EYE_UPPER), 1] - aimed.shape[list(groups.RIGHT_EYE_LOWER), 1]
    assert np.abs(lids).max() < 0.02
    assert target(driver(blink=1.0), eyes=0.0).openness == pytest.approx((1, 1))
    assert (aimed.eyeballs[33] == REST.shape[33]).all()


def test_one_eye_alone_winks_but_small_differences_are_levelled():
    wink = driver()
    shut = driver(blink=1.0).landmarks
    landmarks = wink.landmarks.copy()
    right = [*groups.RIGHT_EYE_UPPER, *groups.RIGHT_EYE_LOWER]
    landmarks[right] = shut[right]
    assert target(dataclasses.replace(wink, landmarks=landmarks)).openness == pytest.approx((0, 1), abs=0.02)
    landmarks[right] = 0.9 * wink.landmarks[right] + 0.1 * shut[right]
    right_eye, left_eye = target(dataclasses.replace(wink, landmarks=landmarks)).openness
    assert right_eye == pytest.approx(left_eye) and right_eye < 1


def test_lids_meet_on_one_line():
    closed, eyeballs = with_lids(REST.shape, (0.0, 0.0))
    for eye in motion_transfer.EYES:
        assert closeness(closed[eye.upper], closed[eye.lower]) < 1e-5
    assert (eyeballs == REST.shape).all()
    wide, eyeballs = with_lids(REST.shape, (1.3, 1.3))
    assert (wide[159, 1] < REST.shape[159, 1]) and (eyeballs[159] == wide[159]).all()


@pytest.mark.parametrize("aside", [0.3, -0.3])
def test_gaze_follows_and_is_limited(aside):
    face = driver()
    shape = face.shape.copy()
    shape[468:, 0] += aside
    looking = dataclasses.replace(face, landmarks=face.pose.to_picture(shape))
    aimed = target(looking)
    change = gaze(aimed.shape) - gaze(REST.shape)
    assert change[0] == pytest.approx(0.26 * np.tanh((gaze(shape) - gaze(face.shape))[0] / 0.26), abs=1e-3)
    assert closeness(aimed.shape[:468], target(NEUTRAL).shape[:468]) < 1e-5
    shape[468:, 0] += 50 * aside
    far = target(dataclasses.replace(face, landmarks=face.pose.to_picture(shape)))
    assert abs((gaze(far.shape) - gaze(REST.shape))[0]) <= 0.2601


def test_idle_moves_without_a_driver():
    aimed = target(None, blend=0.0, idle=Idle(breath=1.0, blink=1.0, sway=(2.0, -1.0)))
    assert aimed.openness == (0, 0)
    assert (aimed.pose.yaw, aimed.pose.pitch) == pytest.approx((2, -1), abs=0.01)
    assert aimed.pose.translation[1] < REST.pose.translation[1]
    assert aimed.breath == 1


def test_a_wild_driver_stays_within_bounds():
    rng = np.random.default_rng(0)
    wild = dataclasses.replace(NEUTRAL, landmarks=NEUTRAL.landmarks + rng.normal(0, 80, (478, 3)).astype(np.float32))
    aimed = target(wild, expression=2.0, mouth=2.0, head=2.0)
    assert np.isfinite(aimed.shape).all()
    assert 0 <= min(aimed.openness) <= max(aimed.openness) <= 1.4
    assert abs(aimed.pose.yaw) <= 33
