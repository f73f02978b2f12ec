"""The library: a portrait, frames in, frames out."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from pipeline import Puppet
from pipeline.core.options import OptionError
from pipeline.files.video import VideoError
from tests.support.clips import write_clip
from tests.support.toy_animator import Toy


def spread(pictures):
    """Return how far a picture is from the first, in levels, at most."""
    return max(int(np.abs(picture.astype(int) - pictures[0]).max()) for picture in pictures)


@pytest.fixture(scope="module")
def puppet():
    from pipeline.imaging.source_picture import BUILTIN

    return Puppet(str(BUILTIN["painting"]), "meshwarp", size=256, options={"badge": False})


def test_mesh_warp_moves_with_the_frames(puppet, astronaut):
    frames = [astronaut, astronaut, np.roll(astronaut, 12, 1), np.roll(astronaut, 24, 1)]
    pictures = list(puppet.animate(frames))
    assert [(picture.shape, picture.dtype) for picture in pictures] == [((256, 256, 3), np.uint8)] * 4
    assert spread(pictures[:1]) < spread(pictures)
    assert puppet.warnings[0].startswith("The face is only 110 pixels tall")


def test_frames_may_come_one_by_one_with_times_and_last_longer_than_the_calibration(puppet, astronaut):
    made = []

    def frames():
        for number in range(6):
            made.append(number)
            yield astronaut

    pictures = puppet.animate(frames(), times=(0.0, 0.5, 1.9, 2.5, 3.0, 3.5))
    assert made == []
    next(pictures)
    assert made == [0, 1, 2, 3]  # those of the first two seconds, and the one that ended them
    assert len(list(pictures)) == 5 and made == list(range(6))


def test_a_video_file(puppet, astronaut, tmp_path):
    write_clip(tmp_path / "driver.mp4", [astronaut] * 3)
    assert len(list(puppet.animate(tmp_path / "driver.mp4"))) == 3
    assert len(list(puppet.animate(str(tmp_path / "driver.mp4")))) == 3


def test_what_is_wrong_is_told(puppet, astronaut):
    with pytest.raises(VideoError, match="No face was found in the frames"):
        list(puppet.animate([np.zeros((64, 64, 3), np.uint8)]))
    with pytest.raises(OptionError, match="There is no option 'haed'"):
        Puppet(astronaut, options={"haed": 1.0})


def test_liveportrait(models, astronaut):
    pytest.importorskip("torch", reason="LivePortrait needs PyTorch")
    from tests.support.tiny_liveportrait import tiny_animator

    brighter = (astronaut // 2, astronaut // 2, astronaut)  # the tiny networks' driver moves to the right
    pictures = list(Puppet(astronaut, tiny_animator(models), options={"badge": False}).animate(brighter))
    assert [picture.shape for picture in pictures] == [(512, 512, 3)] * 3
    assert spread(pictures[:2]) <= 1 < spread(pictures)


def test_an_animator_of_ones_own(models, astronaut):
    from pipeline.core.registry import AnimatorSettings

    [picture] = Puppet(astronaut, Toy(AnimatorSettings(models))).animate([astronaut])
    assert picture.shape == (256, 256, 3)


def test_importing_the_package_imports_nothing_else():
    code = "import pipeline, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "cv2", "torch", "pipeline.puppet"} & set(done.stdout.split())
