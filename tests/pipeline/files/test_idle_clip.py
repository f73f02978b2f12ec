import time

import numpy as np
import pytest

from pipeline.core.animator import Idle
from pipeline.files import idle_clip
from pipeline.files.idle_clip import RATE, SECONDS, TooSlow, cue_at, write_idle_loop
from pipeline.files.video import VideoReader
from tests.support.fakes import FakeAnimator, portrait
from tests.support.waiting import PATIENCE


def test_it_begins_and_ends_at_rest_and_moves_between():
    assert cue_at(portrait(), 0.0).idle == cue_at(portrait(), SECONDS).idle == Idle()
    idles = [cue_at(portrait(), number / RATE).idle for number in range(round(SECONDS * RATE))]
    assert max(idle.breath for idle in idles) > 0.9 and max(idle.blink for idle in idles) > 0.9
    assert max(abs(idle.sway[0]) for idle in idles) > 1  # degrees
    steps = np.diff([idle.breath for idle in idles])
    assert np.abs(steps).max() < 0.12  # no jump, nor where it begins again: it ends at 0


def test_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(idle_clip, "SLOWEST", PATIENCE)
    path = tmp_path / "idle.mp4"
    write_idle_loop(path, FakeAnimator(), portrait())
    with VideoReader(path) as video:
        frames = list(video)
    assert len(frames) == round(SECONDS * RATE) == 168
    assert frames[-1].time == pytest.approx(SECONDS - 1 / RATE)


def test_a_slow_animator_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(idle_clip, "SLOWEST", 0.01)
    with pytest.raises(TooSlow):
        write_idle_loop(tmp_path / "idle.mp4", FakeAnimator(lambda cue: time.sleep(0.02)), portrait())
    assert list(tmp_path.iterdir()) == []
