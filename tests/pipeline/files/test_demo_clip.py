"""The scripted driver."""

from __future__ import annotations

import av
import numpy as np
import pytest

from pipeline.face.tracker import FaceTracker
from pipeline.files import demo_clip
from pipeline.files.demo_clip import LOOP_SECONDS, script
from pipeline.meshwarp.motion_transfer import Rest
from tests.support.faces import make_face

FACE = make_face(y=20)
REST = Rest(FACE.shape, FACE.pose)


def track(read, step=0.05):
    return np.array([read(script(REST, time).face) for time in np.arange(0, LOOP_SECONDS, step)])


def test_begins_neutral():
    first = script(REST, 0.0).face.landmarks
    for time in np.linspace(0, demo_clip.NEUTRAL_SECONDS, 7):
        assert np.abs(script(REST, float(time)).face.landmarks - first).max() < 1e-3
    assert demo_clip.reference(REST).shape == pytest.approx(script(REST, 0.0).face.shape)
    assert script(REST, 0.0).face.lip_gap == pytest.approx(0, abs=0.02)


def test_loops_without_a_jump():
    end, start = (script(REST, time).face.landmarks for time in (LOOP_SECONDS - 1e-3, LOOP_SECONDS))
    assert np.abs(end - start).max() < 0.05
    there, again = (script(REST, time).face.landmarks for time in (3.7, 3.7 + LOOP_SECONDS))
    assert np.abs(there - again).max() < 1e-3


def test_moves_smoothly():
    places = track(lambda face: face.landmarks, 1 / 30)
    assert np.abs(np.diff(places, axis=0)).max() < 12


@pytest.mark.parametrize(
    ("read", "least"),
    [
        (lambda face: face.pose.yaw, 20),
        (lambda face: face.pose.pitch, 8),
        (lambda face: face.pose.roll, 6),
        (lambda face: face.lip_gap, 1.2),
        (lambda face: face.lip_width, 0.4),
        (lambda face: min(face.eye_ratio), 0.1),
        (lambda face: face.shape[105, 1] - face.shape[33, 1], 0.3),
        (lambda face: face.shape[468, 0] - face.shape[33, 0], 0.5),
    ],
)
def test_every_part_of_the_face_acts(read, least):
    assert np.ptp(track(read)) > least


@pytest.mark.parametrize("suffix", [".mp4", ".mjpeg"])
def test_clip_is_tracked_as_scripted(tmp_path, models, suffix):
    path = tmp_path / f"demo{suffix}"
    demo_clip.write_demo(path, seconds=4.0, fps=10, size=320)
    with av.open(str(path)) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    assert len(frames) == 40
    assert frames[0].shape == (320, 320, 3)
    tracker = FaceTracker(models)
    found = [tracker.track(frame, number / 10, smoothing=0) for number, frame in enumerate(frames)]
    played = [script(REST, number / 10).face for number in range(40)]
    assert all(found)
    for read in (lambda face: face.pose.yaw, lambda face: face.lip_gap):
        assert np.corrcoef([read(face) for face in found], [read(face) for face in played])[0, 1] > 0.85


def test_unknown_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"\.mp4, \.webm or \.mjpeg"):
        demo_clip.write_demo(tmp_path / "demo.txt", seconds=1)
