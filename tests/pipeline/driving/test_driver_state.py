"""A driver's timeline: easing, loss, idling, calibration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.animator import Cue, Motion, Portrait
from pipeline.core.options import AnimateOptions
from pipeline.driving.driver_state import DriverState
from pipeline.driving.idle import BLINK_SLOT_SECONDS, idle
from pipeline.face import groups
from pipeline.face.face import Face
from tests.support.faces import make_face

OPTIONS = AnimateOptions()
FPS = 30
NEUTRAL = make_face()


@pytest.fixture
def portrait() -> Portrait:
    return Portrait("key", np.zeros((64, 64, 3), np.uint8), NEUTRAL, ())


def play(driver: DriverState, portrait: Portrait, motions: list[Motion | None], start: float = 0.0) -> list[Cue]:
    return [driver.cue(portrait, OPTIONS, motion, start + i / FPS) for i, motion in enumerate(motions)]


def still(count: int, **look: float) -> list[Motion | None]:
    return [Motion(make_face(**look))] * count


def test_nothing_moves_before_the_first_face(portrait: Portrait) -> None:
    driver = DriverState()
    first = driver.cue(portrait, OPTIONS, None, 100.0)
    assert (first.blend, first.motion, first.idle) == (0.0, None, idle(0.0, 1.0))
    assert driver.state == "waiting"


def test_eases_in_over_a_fifth_of_a_second(portrait: Portrait) -> None:
    blend = [cue.blend for cue in play(DriverState(), portrait, still(8))]
    assert blend[0] == 0.0
    assert blend[3] == pytest.approx(0.5)
    assert blend[6] == pytest.approx(1.0)
    assert blend == sorted(blend)


def test_loss_eases_to_rest_over_half_a_second_and_idles(portrait: Portrait) -> None:
    driver = DriverState()
    play(driver, portrait, still(90))
    lost = play(driver, portrait, [None] * 30, start=3.0)
    assert driver.state == "lost"
    assert lost[0].blend > 0.9
    assert lost[0].motion is not None  # holds the last motion while it fades
    assert lost[15].blend == pytest.approx(0.0, abs=1e-6)
    assert any(cue.idle.breath for cue in lost[15:])


def test_one_lost_frame_is_hardly_seen(portrait: Portrait) -> None:
    driver = DriverState()
    play(driver, portrait, still(90))
    cues = play(driver, portrait, [None, *still(3)], start=3.0)
    assert min(cue.blend for cue in cues) > 0.97


def test_while_driven_the_portrait_does_not_idle(portrait: Portrait) -> None:
    last = play(DriverState(), portrait, still(60))[-1]
    assert (last.idle.breath, last.idle.blink, last.idle.sway) == (0.0, 0.0, (0.0, 0.0))


def test_neutral_is_the_straight_relaxed_moment_of_the_first_two_seconds(portrait: Portrait) -> None:
    driver = DriverState()
    motions = still(20, yaw=25, jaw=2.0) + still(20) + still(20, pitch=-20)
    cue = play(driver, portrait, motions)[-1]
    assert cue.reference is not None
    assert cue.reference.pose.yaw == pytest.approx(NEUTRAL.pose.yaw, abs=1.0)
    np.testing.assert_allclose(cue.reference.shape, NEUTRAL.shape, atol=0.05)


def look(ids: tuple[int, ...], axis: int, by: float) -> Motion:
    """The neutral face with landmarks moved (axis 1: down, cm) or spread from the middle (axis 0: by a share)."""
    shape = NEUTRAL.shape.copy()
    shape[list(ids), axis] = shape[list(ids), axis] * (1 + by) if axis == 0 else shape[list(ids), axis] + by
    return Motion(Face(NEUTRAL.pose.to_picture(shape), 1.0))


BROWS = groups.RIGHT_BROW + groups.LEFT_BROW


@pytest.mark.parametrize("odd", [look(groups.OUTER_CORNERS, 0, -0.3), look(groups.OUTER_CORNERS, 0, 0.4)])
def test_a_pursed_or_smiling_mouth_is_not_neutral_however_long(portrait: Portrait, odd: Motion) -> None:
    cue = DriverState.rehearsed([odd] * 40 + [Motion(NEUTRAL)] * 10).cue(portrait, OPTIONS, odd, 0.0)
    assert cue.reference is not None
    np.testing.assert_allclose(cue.reference.shape, NEUTRAL.shape, atol=0.01)


def test_lifted_brows_are_not_neutral_but_a_persons_own_are(portrait: Portrait) -> None:
    lifted = look(BROWS, 1, -0.6)
    cue = DriverState.rehearsed([lifted] * 10 + [Motion(NEUTRAL)] * 20).cue(portrait, OPTIONS, lifted, 0.0)
    assert cue.reference is not None
    np.testing.assert_allclose(cue.reference.shape, NEUTRAL.shape, atol=0.01)
    cue = DriverState.rehearsed([lifted] * 20).cue(portrait, OPTIONS, lifted, 0.0)
    assert cue.reference is not None
    np.testing.assert_allclose(cue.reference.shape, lifted.face.shape, atol=0.01)


def test_a_low_camera_does_not_make_a_look_tense(portrait: Portrait) -> None:
    below, talking = Motion(make_face(pitch=-18)), Motion(make_face(jaw=0.4))
    cue = DriverState.rehearsed([below] * 20 + [talking] * 5).cue(portrait, OPTIONS, below, 0.0)
    assert cue.reference is not None
    assert cue.reference.pose.pitch == pytest.approx(below.face.pose.pitch, abs=0.5)


def test_looks_are_not_mixed_into_the_neutral(portrait: Portrait) -> None:
    calm, rare = [Motion(NEUTRAL)] * 3, [look(BROWS, 1, 0.3)] * 8
    cue = DriverState.rehearsed(calm + rare * 2 + calm).cue(portrait, OPTIONS, calm[0], 0.0)
    assert cue.reference is not None
    shapes = [motion.face.shape for motion in (calm[0], rare[0])]
    assert min(float(np.abs(cue.reference.shape - shape).max()) for shape in shapes) < 0.01


def test_after_two_seconds_expressions_never_become_neutral(portrait: Portrait) -> None:
    driver = DriverState()
    play(driver, portrait, still(70))
    cue = play(driver, portrait, still(600, jaw=2.0), start=70 / FPS)[-1]
    assert cue.reference is not None
    np.testing.assert_allclose(cue.reference.shape, NEUTRAL.shape, atol=0.05)
    assert driver.state == "live"


def test_a_better_neutral_is_eased_into(portrait: Portrait) -> None:
    cues = play(DriverState(), portrait, still(10, jaw=2.0) + still(20))
    shapes = np.stack([cue.reference.shape for cue in cues if cue.reference])
    steps = np.abs(np.diff(shapes, axis=0)).max(axis=(1, 2))
    whole = np.abs(shapes[-1] - shapes[0]).max()
    assert whole > 1.0
    assert steps.max() < 0.3 * whole


def test_calibrate_on_command_takes_the_new_look(portrait: Portrait) -> None:
    driver = DriverState()
    play(driver, portrait, still(90))
    driver.calibrate()
    assert driver.state == "calibrating"
    cue = play(driver, portrait, still(60, yaw=12), start=3.0)[-1]
    assert cue.reference is not None
    assert cue.reference.pose.yaw == pytest.approx(make_face(yaw=12).pose.yaw, abs=0.5)
    assert driver.state == "live"


def test_a_resting_drivers_new_seat_becomes_the_middle_slowly(portrait: Portrait) -> None:
    driver = DriverState()
    play(driver, portrait, still(90))
    moved = play(driver, portrait, still(900, x=40.0), start=3.0)
    old, new = (float(face.pose.translation[0]) for face in (NEUTRAL, make_face(x=40.0)))
    middles = [cue.reference.pose.translation[0] for cue in moved if cue.reference]
    assert middles[5] == pytest.approx(old, abs=0.1 * (new - old))
    assert middles[-1] == pytest.approx(new, abs=0.05 * (new - old))


def test_eye_opening_is_a_high_percentile_not_one_frame(portrait: Portrait) -> None:
    shut = [Motion(make_face(blink=1.0))]
    cue = play(DriverState(), portrait, [*shut * 20, *still(70)])[-1]
    assert cue.reference is not None
    assert cue.reference.eye_open == pytest.approx(NEUTRAL.eye_ratio, rel=0.05)


def test_a_rehearsed_file_follows_from_its_first_frame(portrait: Portrait) -> None:
    frames = [Motion(make_face(jaw=2.0)), *[Motion(NEUTRAL)] * 10]
    cue = DriverState.rehearsed(frames).cue(portrait, OPTIONS, frames[0], 0.0)
    assert cue.blend == 1.0
    assert cue.reference is not None
    np.testing.assert_allclose(cue.reference.shape, NEUTRAL.shape, atol=0.05)


def test_the_drivers_picture_is_kept_out_unless_asked_for(portrait: Portrait) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    motion = Motion(NEUTRAL)
    assert DriverState().cue(portrait, OPTIONS, motion, 0.0, picture).driver is None
    own = replace(OPTIONS, driver_mouth=True)
    assert DriverState().cue(portrait, own, motion, 0.0, picture).driver is picture
    assert DriverState().cue(portrait, own, None, 0.0, picture).driver is None


def test_time_running_backwards_changes_nothing(portrait: Portrait) -> None:
    driver = DriverState()
    play(driver, portrait, still(30), start=10.0)
    assert driver.cue(portrait, OPTIONS, Motion(NEUTRAL), 2.0).blend == 1.0


def test_idle_blinks_once_in_each_slot_and_breathes_both_ways() -> None:
    times = np.arange(0, 10 * BLINK_SLOT_SECONDS, 0.01)
    moves = [idle(float(time), 1.0) for time in times]
    shut = np.array([move.blink > 0.5 for move in moves])
    assert np.count_nonzero(np.diff(shut.astype(int)) == 1) == 10
    assert max(move.breath for move in moves) == pytest.approx(1.0, abs=0.01)
    assert min(move.breath for move in moves) == pytest.approx(-1.0, abs=0.01)
    assert idle(0.0, 1.0) == idle(5.0, 0.0)
