"""The mesh-warp animator on the built-in portrait, judged by tracking its pictures again."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from pipeline.core.animator import Cue, DrivingFrame, Idle, Motion
from pipeline.core.options import AnimateOptions
from pipeline.face.face import Face
from pipeline.face.find import find_faces
from pipeline.face.pose import HeadPose, rotation_from_euler
from pipeline.files import demo_clip
from pipeline.imaging.source_picture import Unsuitable
from pipeline.meshwarp import mesh
from pipeline.meshwarp.animator import MeshWarp
from pipeline.meshwarp.canvas import texture
from pipeline.meshwarp.motion_transfer import with_lids
from pipeline.meshwarp.render import MeshPortrait

PLAIN = AnimateOptions(badge=False)


@pytest.fixture(scope="module")
def animator(models) -> MeshWarp:
    return MeshWarp(models, 512)


@pytest.fixture(scope="module")
def portrait(animator, astronaut) -> MeshPortrait:
    return animator.prepare(astronaut)


@pytest.fixture(scope="module")
def rest(animator, portrait):
    return animator.animate([Cue(portrait, PLAIN)])[0]


def show(animator, portrait, face: Face | None, options=PLAIN, blend=1.0, **more):
    motion = Motion(face) if face else None
    return animator.animate([Cue(portrait, options, motion, demo_clip.reference(portrait.rest), blend, **more)])[0]


def neutral(portrait) -> Face:
    return demo_clip.script(portrait.rest, 0.0).face


def turned(face: Face, yaw=0.0, pitch=0.0, roll=0.0) -> Face:
    rotation = rotation_from_euler(yaw, pitch, roll) @ face.pose.rotation
    return Face(HeadPose(rotation, face.pose.scale, face.pose.translation).to_picture(face.shape), 1.0)


def reshaped(face: Face, shape) -> Face:
    return Face(face.pose.to_picture(shape), 1.0)


def opened(face: Face, centimetres: float) -> Face:
    shape = face.shape + centimetres * demo_clip.JAW
    demo_clip.spread(shape, centimetres)
    return reshaped(face, shape)


def difference(first, second) -> int:
    """Return the largest one, in gray levels."""
    return int(np.abs(first.astype(int) - second).max())


def seen(picture, models) -> Face:
    return find_faces(picture, models)[0]


def source_crop(portrait):
    """The source where the picture at rest shows it."""
    centres = np.arange(512, dtype=np.float32) + 0.5
    places = portrait.crop.to_texture(np.stack(np.meshgrid(centres, centres), -1))
    return cv2.remap(texture(portrait.picture, portrait.crop), places, None, cv2.INTER_LINEAR)


def test_rest_is_the_source(portrait, rest):
    assert rest.shape == (512, 512, 3)
    assert rest.dtype == np.uint8
    assert np.abs(rest.astype(int) - source_crop(portrait)).mean() < 1.0


def test_without_presence_or_gains_the_driver_is_not_seen(animator, portrait, rest):
    busy = demo_clip.script(portrait.rest, 3.0).face
    assert difference(show(animator, portrait, busy, blend=0.0), rest) <= 2
    still = PLAIN.changed({"head": 0, "expression": 0, "mouth": 0, "eyes": 0, "brows": 0, "gaze": 0})
    assert difference(show(animator, portrait, busy, still), rest) <= 2
    assert difference(show(animator, portrait, busy), rest) > 50


def test_same_cue_same_picture_whatever_came_between(animator, portrait):
    face = demo_clip.script(portrait.rest, 3.0).face
    first = show(animator, portrait, face)
    show(animator, portrait, demo_clip.script(portrait.rest, 8.0).face)
    assert (show(animator, portrait, face) == first).all()


def test_mirror_flips_and_the_badge_stays_readable(animator, portrait):
    face = turned(neutral(portrait), yaw=10)
    plain, mirrored = (show(animator, portrait, face, PLAIN.changed({"mirror": on})) for on in (False, True))
    assert (mirrored == plain[:, ::-1]).all()
    badged = show(animator, portrait, face, AnimateOptions(mirror=True))
    changed = np.argwhere((badged != mirrored).any(2))
    assert changed[:, 0].min() > 450
    assert changed[:, 1].max() < 200


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(15, 0, 0), (-15, 0, 0), (0, 9, 0), (0, 0, 15)])
def test_the_head_follows(animator, portrait, models, rest, yaw, pitch, roll):
    before = seen(rest, models).pose
    after = seen(show(animator, portrait, turned(neutral(portrait), yaw, pitch, roll)), models).pose
    moved = (after.yaw - before.yaw, after.pitch - before.pitch, after.roll - before.roll)
    assert moved == pytest.approx((yaw, pitch, roll), abs=4)  # the fringe over her temples is seen to turn less


def test_a_blink_closes_the_eyes(animator, portrait, models, rest):
    shut, _ = with_lids(neutral(portrait).shape, (0.0, 0.0))
    blinking = seen(show(animator, portrait, reshaped(neutral(portrait), shut)), models)
    assert max(blinking.eye_ratio) < 0.12 < 0.25 < min(seen(rest, models).eye_ratio)


def test_the_mouth_opens_and_closes(animator, portrait, models):
    gaps = [seen(show(animator, portrait, opened(neutral(portrait), cm)), models).lip_gap for cm in (0.0, 1.0, 2.0)]
    assert gaps[0] < 0.3
    assert np.diff(gaps) == pytest.approx([1, 1], abs=0.5)


def test_a_closed_driver_closes_the_smiling_source(portrait, animator, models, rest):
    assert portrait.rest.lip_gap > 0.8
    assert seen(show(animator, portrait, neutral(portrait)), models).lip_gap < 0.3


def test_presence_fades_from_rest(animator, portrait, rest):
    face = demo_clip.script(portrait.rest, 3.3).face
    steps = [show(animator, portrait, face, blend=share).astype(int) for share in (0, 0.05, 0.5, 1)]
    away = [np.abs(step - rest).mean() for step in steps]
    assert away[0] == 0
    assert away == sorted(away)
    assert away[1] < 0.4 * away[3]


def test_idle_breath_moves_little_and_blink_much(animator, portrait, rest):
    breath = animator.animate([Cue(portrait, PLAIN, idle=Idle(breath=1.0))])[0]
    assert 0 < np.abs(breath.astype(int) - rest).mean() < 5
    eyes = portrait.rest.landmarks[[33, 133, 159, 145], :2]
    (left, top), (right, bottom) = eyes.min(0).astype(int), eyes.max(0).astype(int)
    blink = animator.animate([Cue(portrait, PLAIN, idle=Idle(blink=1.0))])[0]
    change = np.abs(blink.astype(int) - rest)
    assert change[top:bottom, left:right].mean() > 8
    assert change[:100].max() == 0


def test_the_drivers_mouth_only_on_request(animator, portrait):
    face = opened(neutral(portrait), 2.0)
    green = np.zeros((512, 512, 3), np.uint8)
    green[...] = (20, 200, 20)
    own = PLAIN.changed({"driver_mouth": True})
    assert (show(animator, portrait, face, driver=green) == show(animator, portrait, face)).all()
    assert (show(animator, portrait, face, own) == show(animator, portrait, face)).all()
    picture = show(animator, portrait, face, own, driver=green).astype(int)
    greenish = (picture[..., 1] > picture[..., 0] + 40) & (picture[..., 1] > picture[..., 2] + 40)
    assert 300 < greenish.sum() < 8000
    rows, columns = np.nonzero(greenish)
    mouth = animator.target(Cue(portrait, own, Motion(face), demo_clip.reference(portrait.rest), 1.0)).landmarks
    assert mouth[78, 0] - 2 < columns.min() < columns.max() < mouth[308, 0] + 2
    lips = mouth[list(mesh.INNER_LIPS), 1]
    assert lips.min() - 3 < rows.min() < rows.max() < lips.max() + 3


@pytest.mark.parametrize("time", np.arange(1.5, 12, 2.1))
def test_landmarks_land_where_they_were_aimed(animator, portrait, models, time):
    cue = Cue(portrait, PLAIN, demo_clip.script(portrait.rest, float(time)), demo_clip.reference(portrait.rest), 1.0)
    intended = animator.target(cue).landmarks[:, :2]
    found = seen(animator.animate([cue])[0], models).landmarks[:, :2]
    between_eyes = np.linalg.norm(intended[33] - intended[263])
    assert np.linalg.norm(found - intended, axis=1).mean() / between_eyes < 0.035


@pytest.mark.parametrize("time", [0.5, 3.3, 5.8, 8.9])
def test_no_pixel_is_left_out(animator, portrait, time):
    """Where no triangle covers a pixel's centre the map goes on smoothly, and so does the light."""
    picture = show(animator, portrait, demo_clip.script(portrait.rest, time).face).astype(int)
    alone = picture - cv2.medianBlur(picture.astype(np.uint8), 3)
    assert np.abs(alone).max(2)[: picture.shape[0] // 2].max() < 90


def test_extreme_motion_gives_a_picture(animator, portrait):
    landmarks = neutral(portrait).landmarks * np.float32([3, 3, 3]) + 500
    rng = np.random.default_rng(0)
    for face in (Face(landmarks, 1.0), Face(landmarks + rng.normal(0, 60, landmarks.shape).astype(np.float32), 1.0)):
        loud = PLAIN.changed({"head": 2, "expression": 2, "mouth": 2, "eyes": 2, "brows": 2, "gaze": 2})
        assert show(animator, portrait, face, loud).shape == (512, 512, 3)


@pytest.mark.parametrize("size", [256, 400])
def test_other_sizes(models, astronaut, size):
    animator = MeshWarp(models, size)
    portrait = animator.prepare(astronaut)
    picture = show(animator, portrait, demo_clip.script(portrait.rest, 3.3).face)
    assert picture.shape == (size, size, 3)
    assert find_faces(picture, models)


def test_read_motion(animator, portrait, astronaut):
    face = neutral(portrait)
    motions = animator.read_motion([DrivingFrame(astronaut, face), DrivingFrame(astronaut, None)])
    assert motions[0] is not None
    assert motions[0].face is face
    assert motions[1] is None


@pytest.mark.parametrize("shape", [(1, 1, 3), (300, 20, 3), (400, 400, 3)])
def test_pictures_without_a_face_are_refused(animator, shape):
    with pytest.raises(Unsuitable, match="No face"):
        animator.prepare(np.full(shape, 128, np.uint8))


@pytest.mark.parametrize("box", [(0, 330, 120, 360), (60, 230, 160, 290), (0, 512, 0, 512)])
def test_tight_and_cut_off_sources_work(animator, astronaut, box):
    top, bottom, left, right = box
    portrait = animator.prepare(np.ascontiguousarray(astronaut[top:bottom, left:right]))
    assert show(animator, portrait, demo_clip.script(portrait.rest, 3.3).face).shape == (512, 512, 3)


def test_headroom_ends_where_the_picture_cuts_the_hair(animator, portrait, astronaut):
    assert portrait.rest.headroom == 5
    assert animator.prepare(np.ascontiguousarray(astronaut[60:])).rest.headroom == 0.7


def test_prepare_beside_animate(animator, portrait, astronaut):
    face = demo_clip.script(portrait.rest, 3.3).face
    alone = show(animator, portrait, face)
    prepared: list[MeshPortrait] = []
    thread = threading.Thread(target=lambda: prepared.append(animator.prepare(astronaut)))
    thread.start()
    beside = [show(animator, portrait, face) for _ in range(5)]
    thread.join()
    assert all((picture == alone).all() for picture in beside)
    assert prepared[0].key == portrait.key
    assert (prepared[0].texture == portrait.texture).all()


def test_key_tells_pictures_and_settings_apart(animator, models, portrait, astronaut):
    assert animator.prepare(np.ascontiguousarray(astronaut[:, ::-1])).key != portrait.key
    assert MeshWarp(models, 256).prepare(astronaut).key != portrait.key
