"""The animator's plumbing with tiny networks, and one picture with full ones."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from pipeline.core.animator import Cue, DrivingFrame, Idle, Reference  # noqa: E402
from pipeline.core.options import AnimateOptions  # noqa: E402
from pipeline.imaging.source_picture import Unsuitable  # noqa: E402
from pipeline.liveportrait.animator import NotANumber  # noqa: E402
from pipeline.liveportrait.backends.registry import builder  # noqa: E402
from pipeline.liveportrait.corrections import stitch  # noqa: E402
from pipeline.liveportrait.paste import to_pixels  # noqa: E402
from pipeline.load_liveportrait import assemble  # noqa: E402
from tests.support.faces import make_face  # noqa: E402
from tests.support.tiny_liveportrait import EYE_SHIFT, LIP_SHIFT, tiny_animator, tiny_networks  # noqa: E402

EAGER = builder("eager", torch.device("cpu"))
CROP = AnimateOptions(badge=False, paste_back=False)
GRAY = 127


def gray(level, size=512):
    return np.full((size, size, 3), level, np.uint8)


def frame(level=128, x=0.0, time=0.0, previous=None):
    """A driver of this brightness, `x` pixels from the middle."""
    return DrivingFrame(gray(level), make_face(x=x), time, previous)


@pytest.fixture(scope="module")
def animator(models):
    return tiny_animator(models, size=64)


@pytest.fixture(scope="module")
def portrait(animator, astronaut):
    return animator.prepare(astronaut)


@pytest.fixture
def cue(animator, portrait):
    """A driver who has become brighter than neutral by 51 levels: 0.2 to the right."""
    neutral, moved = animator.read_motion([frame(102), frame(153)])
    face = neutral.face
    return Cue(portrait, CROP, moved, Reference(neutral, face.shape, face.pose, face.eye_ratio), 1.0)


def colour(animator, cue, **options):
    """Of the crop, in units of the keypoints' shift."""
    [picture] = animator.animate([replace(cue, options=replace(cue.options, **options))])
    return ((picture[32, 32].astype(float) - GRAY) / 255).tolist()


def near(*shift):
    return pytest.approx(shift, abs=1.5 / 255)


def test_at_rest_nothing_moves(animator, portrait):
    assert colour(animator, Cue(portrait, CROP)) == near(0, 0, 0)


def test_the_driver_moves_it_as_far_as_he_moved(animator, cue):
    assert colour(animator, cue) == near(0.2, 0.2 / 21, 0)  # his mouth opened, too: one point of 21 went down


def test_presence_blends(animator, cue):
    assert colour(animator, replace(cue, blend=0.5)) == near(0.1, 0, 0)
    assert colour(animator, replace(cue, blend=0.0)) == near(0, 0, 0)


@pytest.mark.parametrize(
    ("options", "shift"),
    [
        ({"head": 0.0}, (0, 0.01, 0)),
        ({"head": 2.0}, (0.4, 0.01, 0)),
        ({"mouth": 0.0}, (0.2, 0, 0)),
        ({"region": "exp"}, (0, 0.01, 0)),
        ({"region": "pose"}, (0.2, 0, 0)),
        ({"driving_multiplier": 0.5}, (0.1, 0.005, 0)),
        ({"eye_retargeting": True}, (EYE_SHIFT, EYE_SHIFT, EYE_SHIFT)),
        ({"lip_retargeting": True}, (LIP_SHIFT, LIP_SHIFT, LIP_SHIFT)),
        ({"edit_zoom": 1.2, "head": 0.0}, (0, 0.012, 0)),
    ],
)
def test_options(animator, cue, options, shift):
    assert colour(animator, cue, **options) == near(*shift)


def test_absolute_takes_the_drivers_place(animator, portrait, cue):
    place = 153 / 255 - portrait.motion.translation[0, 0].item()
    assert colour(animator, cue, relative=False)[0] == pytest.approx(place, abs=1.5 / 255)


def test_one_picture_as_driver_keeps_the_pose(animator, cue):
    assert colour(animator, replace(cue, reference=None))[0] == pytest.approx(0, abs=1.5 / 255)


def test_idle(animator, portrait):
    assert colour(animator, Cue(portrait, CROP, idle=Idle(blink=1.0))) == near(EYE_SHIFT, EYE_SHIFT, EYE_SHIFT)
    [still, breath] = animator.animate([Cue(portrait, CROP), Cue(portrait, CROP, idle=Idle(breath=1.0))])
    assert np.abs(still.astype(int) - breath).max() <= 1  # seen only where the networks are not tiny


def test_a_batch_is_the_same_as_one_by_one(animator, portrait, cue):
    cues = [cue, Cue(portrait, CROP), replace(cue, options=replace(CROP, paste_back=True))]
    batch = animator.animate(cues)
    assert [picture.shape for picture in batch] == [(64, 64, 3), (64, 64, 3), (512, 512, 3)]
    for picture, one in zip(batch, cues, strict=True):
        [alone] = animator.animate([one])
        assert np.abs(picture.astype(int) - alone).max() <= 1
    assert animator.animate([]) == []


def test_the_crop_is_put_back_into_the_whole_portrait(animator, portrait):
    [picture] = animator.animate([Cue(portrait, AnimateOptions(badge=False))])
    mask = portrait.paster.mask[0, 0].numpy()
    assert picture.shape == portrait.picture.shape
    assert np.array_equal(picture[mask == 0], portrait.picture[mask == 0])
    assert (picture[mask == 1] == GRAY).all() and (mask == 1).any()


def test_mirror_and_badge(animator, portrait):
    plain, mirrored, marked = animator.animate(
        [Cue(portrait, AnimateOptions(mirror=mirror, badge=badge)) for mirror, badge in ((0, 0), (1, 0), (1, 1))]
    )
    assert np.array_equal(plain[:, ::-1], mirrored)
    assert not np.array_equal(mirrored[-100:, :200], marked[-100:, :200])  # drawn last, so that it can be read
    assert np.array_equal(mirrored[:300], marked[:300])


def test_frames_without_a_face_have_no_motion(animator):
    found = animator.read_motion([DrivingFrame(gray(9), None), frame(), DrivingFrame(gray(9), None)])
    assert [motion is not None for motion in found] == [False, True, False]
    assert animator.read_motion([DrivingFrame(gray(9), None)]) == [None]


def test_the_driving_crop_stays_while_the_face_is_near(animator):
    [first] = animator.read_motion([frame()])
    [second] = animator.read_motion([frame(x=6, time=0.03, previous=first)])
    [alone] = animator.read_motion([frame(x=6, time=0.03)])
    assert second.box.centre.tolist() == first.box.centre.tolist() != alone.box.centre.tolist()


def test_a_crop_that_moved_does_not_move_the_head(animator, cue):
    """The same motion, seen in a crop a tenth further right, belongs a tenth further right."""
    box = cue.motion.box
    moved = replace(cue.motion, box=replace(box, centre=box.centre + np.array([0.05 * box.side, 0])))
    assert colour(animator, replace(cue, motion=moved))[0] == pytest.approx(0.3, abs=1.5 / 255)


def test_a_better_neutral_is_eased_into(cue):
    old, new = cue.reference.motion, cue.motion
    box = replace(new.box, centre=new.box.centre + np.array([0.05 * new.box.side, 0]))
    half = old.towards(replace(new, box=box), 0.5)
    middle = (old.keypoints.translation + new.keypoints.translation) / 2
    assert half.keypoints.translation[0].tolist() == pytest.approx([middle[0, 0].item() + 0.05, 0, 0], abs=1e-6)
    assert half.box is old.box and half.face is new.face
    assert torch.equal(old.towards(new, 1.0).keypoints.expression, new.keypoints.expression)


def test_16_bits_without_numbers_fall_back_once(models, astronaut, caplog):
    loads = []

    def load():
        loads.append(None)
        return tiny_networks((torch.bfloat16,))

    animator = assemble(models, load(), EAGER, torch.bfloat16, size=64, reload=load)
    assert animator.backend.dtype == torch.bfloat16
    portrait = animator.prepare(astronaut)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert colour(animator, Cue(portrait, CROP)) == near(0, 0, 0)
    assert [record.message.split(" ")[0] for record in caplog.records] == ["bfloat16"]
    assert animator.backend.dtype == torch.float32 and len(loads) == 2


def test_no_numbers_at_all_is_an_error(models, portrait):
    animator = assemble(models, tiny_networks((torch.float32,)), EAGER, size=64)
    with pytest.raises(NotANumber, match="gave no picture"):
        animator.animate([Cue(portrait, CROP)])


def test_sources_without_a_face_or_too_large(animator, astronaut):
    for picture in (gray(128), gray(128, size=1)):
        with pytest.raises(Unsuitable, match="No face was found"):
            animator.prepare(picture)
    large = animator.prepare(np.asarray(np.kron(astronaut, np.ones((3, 3, 1), np.uint8))))
    assert large.picture.shape == (1280, 1280, 3)


def test_supports_all_but_what_is_about_landmarks(animator):
    assert set(AnimateOptions.__dataclass_fields__) - animator.supports == {
        *("driver_mouth", "smoothing", "size"),
        *("yaw", "pitch", "roll", "background", "background_colour"),
    }


def test_the_speed_is_measured(animator):
    steps = []
    assert animator.warm_up(lambda done, total: steps.append((done, total))) > 0
    assert steps == [(1, 1)]


@torch.inference_mode()
def test_full_networks_draw_what_they_draw_alone(models, astronaut, stand_in_networks):
    animator = assemble(models, stand_in_networks, EAGER)
    portrait = animator.prepare(astronaut)
    [picture] = animator.animate([Cue(portrait, CROP)])
    driven = stitch(stand_in_networks.stitching, portrait.keypoints, portrait.keypoints)
    warped = stand_in_networks.warping(portrait.feature, driven, portrait.keypoints)
    expected = to_pixels(stand_in_networks.generator(warped.feature))[0].numpy()
    assert np.abs(picture.astype(int) - expected).max() <= 1
