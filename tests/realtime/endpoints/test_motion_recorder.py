"""A live driver's motion, replayed."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from pipeline.core.animator import DrivingFrame  # noqa: E402
from pipeline.core.registry import Loaded  # noqa: E402
from pipeline.files.liveportrait_jobs import template_motions  # noqa: E402
from pipeline.imaging.source_picture import BUILTIN  # noqa: E402
from pipeline.liveportrait.templates import load_template  # noqa: E402
from realtime.endpoints import motion_recorder  # noqa: E402
from realtime.endpoints.motion_recorder import MotionRecorder  # noqa: E402
from realtime.endpoints.output import ShownPicture  # noqa: E402
from realtime.endpoints.recorder import RecordingError  # noqa: E402
from tests.support.faces import make_face  # noqa: E402
from tests.support.fakes import FakeTracker  # noqa: E402
from tests.support.tiny_liveportrait import tiny_animator  # noqa: E402
from tests.support.web_session import connected, recorded  # noqa: E402
from web.services.engine import Engine  # noqa: E402
from web.services.portraits import Portraits  # noqa: E402

FACE = make_face()
PLANES = np.zeros((6, 4), np.uint8)


@pytest.fixture(scope="module")
def animator(models):
    return tiny_animator(models, size=64)


def record(path, items, fps=10):
    """Show (motion, time) each, and finish. The recorder."""

    async def run():
        recorder = MotionRecorder(path, fps)
        for motion, time in items:
            recorder.show(ShownPicture(PLANES, time, None, motion))
        await recorder.close()
        await recorder.close()
        return recorder

    return asyncio.run(run())


def motions(animator, *levels):
    """Of drivers as bright as that: the head moves to the right with it."""
    pictures = [np.full((512, 512, 3), level, np.uint8) for level in levels]
    return animator.read_motion([DrivingFrame(picture, make_face()) for picture in pictures])


def test_the_motion_at_a_constant_rate(animator, tmp_path):
    dark, gray, light = motions(animator, 51, 102, 153)
    items = [(None, 3.0), (None, 3.1), (dark, 3.2), (gray, 3.3), (light, 3.5), (None, 3.6), (dark, 3.7)]
    recorder = record(tmp_path / "m.npz", items)
    template = load_template(tmp_path / "m.npz")
    assert template.fps == 10
    assert template.t[:, 0] == pytest.approx([0.2, 0.4, 0.4, 0.6, 0.6, 0.2], abs=0.01)  # the lost face's holds
    assert recorder.report() == {"name": "m.npz", "seconds": 0.6, "problem": None}
    replayed = template_motions(template, FACE)
    assert torch.allclose(replayed[1].keypoints.expression, gray.keypoints.expression)
    assert torch.allclose(replayed[1].ratios.eyes, gray.ratios.eyes)


def test_landmarks_are_not_kept(animator, tmp_path):
    recorder = MotionRecorder(tmp_path / "m.npz", 10)
    for n, motion in enumerate(motions(animator, *[90] * 5)):
        recorder.show(ShownPicture(PLANES, n / 10, None, motion))
    assert len({id(motion.face) for motion in recorder._motions}) == 1


def test_without_a_face_there_is_no_file(tmp_path):
    recorder = record(tmp_path / "m.npz", [(None, 0.0), (None, 1.0)])
    assert recorder.report()["seconds"] == 0 and not (tmp_path / "m.npz").exists()


def test_it_ends_when_it_is_full(animator, tmp_path, monkeypatch):
    monkeypatch.setattr(motion_recorder, "MOST_SECONDS", 1)
    recorder = record(tmp_path / "m.npz", [(motion, n / 10) for n, motion in enumerate(motions(animator, *[90] * 20))])
    assert len(load_template(tmp_path / "m.npz")) == pytest.approx(10, abs=1)
    assert recorder.report()["problem"].endswith("a recording cannot be longer.")


def test_says_what_is_wrong(tmp_path):
    with pytest.raises(RecordingError, match="does not exist; create it"):
        MotionRecorder(tmp_path / "none" / "m.npz")


def test_a_live_session_over_http(animator, tmp_path):
    loaded = Loaded(animator, "a test asked for it", "cpu")
    engine = Engine(loaded, FakeTracker, Portraits(animator, {"astronaut": BUILTIN["astronaut"].read_bytes()}))

    async def run():
        async with connected(engine, recordings=tmp_path) as (web, session, _):
            await web.put(f"{session}/recording", json={"motion": True})
            report = await recorded(web, session, 1.0)
            ended = (await web.delete(f"{session}/recording")).json()
            return report, ended, (await web.get(ended["motion"]["url"])).content

    report, ended, content = asyncio.run(run())
    assert ended["motion"]["name"] == report["name"].replace(".mp4", ".npz")
    assert ended["motion"]["seconds"] == pytest.approx(ended["seconds"], abs=1)
    (tmp_path / "downloaded.npz").write_bytes(content)
    template = load_template(tmp_path / "downloaded.npz")
    assert template.fps == 30 and len(template) == round(ended["motion"]["seconds"] * 30)
