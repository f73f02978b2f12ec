"""Pictures, pace and pixel formats at the device; who owns it; what is said where there is none."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline import doctor
from pipeline.imaging.i420 import to_picture, to_planes
from realtime.endpoints import virtual_camera
from realtime.endpoints.framing import Framing
from realtime.endpoints.output import ShownPicture
from realtime.endpoints.virtual_camera import NoVirtualCamera, VirtualCamera, VirtualCameraInUse, next_tick
from tests.support.clips import gradient
from tests.support.fakes import SIZE, number_of, numbered
from tests.support.virtual_cameras import CameraRecording, installed
from tests.support.waiting import PATIENCE

SQUARE = Framing(SIZE, SIZE)
LOOPBACKS = [device for device in Path("/sys/class/video4linux").glob("*") if "virtual" in device.resolve().parts]


@pytest.fixture
def recording(monkeypatch) -> CameraRecording:
    return installed(monkeypatch)


@pytest.fixture
def camera(recording):
    camera = VirtualCamera("a test", framing=SQUARE)
    yield camera
    asyncio.run(camera.close())


def shown(picture) -> ShownPicture:
    return ShownPicture(to_planes(picture), 0.0, None)


def as_picture(sent, framing=SQUARE):
    return to_picture(sent.reshape(framing.height * 3 // 2, framing.width))


def one_picture(recording, framing, picture):
    """What the device is sent of one."""
    camera = VirtualCamera("a test", framing=framing)
    camera.show(shown(picture))
    recording.wait(len)
    asyncio.run(camera.close())
    return recording.pictures[0]


@pytest.mark.parametrize(
    ("last", "elapsed", "number"),
    [(0, 0.001, 1), (0, 0.09, 1), (0, 0.11, 1), (0, 0.19, 1), (0, 0.2, 2), (0, 0.57, 5), (4, 0.4, 5), (7, 0.1, 8)],
)
def test_the_next_tick(last, elapsed, number):
    assert next_tick(last, elapsed, fps=10) == number


def test_a_stall_moves_no_later_tick():
    works = [0.01, 0.01, 0.27, 0.01, 0.02]  # seconds that each picture takes to be sent
    now, number, sent = 0.0, 0, []
    for work in works:
        sent.append(round(now, 6))
        number = next_tick(number, now + work, fps=10)
        now = max(now + work, number / 10)
    assert sent == [0.0, 0.1, 0.2, 0.47, 0.5]  # of the stall's three one is left out, one is late, and no heap comes


def test_planes_arrive_as_they_were_drawn(camera, recording):
    picture = shown(numbered(77))
    camera.show(picture)
    recording.wait(len)
    assert recording.opened == {"size": (SIZE, SIZE), "fps": 30, "format": "I420", "device": None}
    assert np.array_equal(recording.pictures[0], picture.planes.ravel())


def test_a_device_without_i420_gets_rgb(monkeypatch):
    recording = installed(monkeypatch, "RGB")
    picture = numbered(77)
    sent = one_picture(recording, SQUARE, picture).reshape(SIZE, SIZE, 3)
    assert recording.opened["format"] == "RGB"
    assert np.array_equal(sent, to_picture(to_planes(picture)))


def test_nothing_is_sent_before_the_first_picture_and_then_it_is_repeated(camera, recording):
    time.sleep(0.1)
    assert recording.pictures == []
    camera.show(shown(numbered(5)))
    recording.wait_for_more(4)
    assert {number_of(as_picture(sent)) for sent in recording.pictures} == {5}


def test_the_newest_picture_wins(camera, recording):
    first, *others = [shown(numbered(number)) for number in range(1, 200)]
    camera.show(first)
    recording.wait(len)
    for each in others:
        camera.show(each)
    recording.wait(lambda sent: number_of(as_picture(sent[-1])) == 199)
    assert len({number_of(as_picture(sent)) for sent in recording.pictures}) < 100


def test_pictures_come_at_their_rate(recording):
    camera = VirtualCamera("a test", framing=Framing(SIZE, SIZE, fps=50))
    began = time.monotonic()
    camera.show(shown(numbered(1)))
    recording.wait_for_more(26)
    asyncio.run(camera.close())
    assert recording.opened["fps"] == 50
    assert recording.times[25] - began >= 0.5  # never faster, whatever the machine does besides


def test_padding_shows_all_in_the_middle_of_black(recording):
    framing = Framing(256, SIZE, "pad")
    sent = as_picture(one_picture(recording, framing, numbered(77)), framing)
    assert (sent[:, :62] < 3).all() and (sent[:, -62:] < 3).all()
    assert number_of(sent[:, 64 : 64 + SIZE]) == 77


def test_cropping_fills_with_the_middle(recording):
    framing = Framing(256, SIZE, "crop")
    picture = gradient(256, 256, 100)
    sent = as_picture(one_picture(recording, framing, picture), framing)
    assert np.abs(sent.astype(int) - to_picture(to_planes(picture))[64:192]).max() <= 2


def test_a_portrait_of_another_size_fits_the_same_device(camera, recording):
    camera.show(shown(numbered(1)))
    recording.wait(len)
    camera.show(shown(np.full((64, 32, 3), 255, np.uint8)))
    recording.wait(lambda sent: as_picture(sent[-1])[64, 64].min() > 250)
    assert {sent.size for sent in recording.pictures} == {SIZE * SIZE * 3 // 2}


def test_one_owner_at_a_time(camera, recording):
    with pytest.raises(VirtualCameraInUse, match=r"in use by a test since \d\d:\d\d; switch it off there first\."):
        VirtualCamera("somebody else")
    asyncio.run(camera.close())
    assert recording.closed == 1 and camera.report() is None
    second = VirtualCamera("somebody else")
    assert second.report() == "recording"
    asyncio.run(second.close())
    asyncio.run(second.close())


def test_what_cannot_be_opened_is_not_owned(recording):
    with pytest.raises(
        NoVirtualCamera, match=r"There is no virtual camera \(Device none does not exist\); to get one: "
    ):
        VirtualCamera("a test", "none")
    camera = VirtualCamera("a test", "named")
    assert camera.report() == "named"
    asyncio.run(camera.close())


def test_a_device_that_vanishes_ends_it_and_is_free(camera, recording, caplog):
    camera.show(shown(numbered(1)))
    recording.wait(len)
    with caplog.at_level(logging.ERROR):
        recording.unplugged = True
        camera._thread.join(PATIENCE)
    assert camera.report() is None and "is gone; switch it on again" in caplog.text
    camera.show(shown(numbered(2)))
    recording.unplugged = False
    another = VirtualCamera("another")
    asyncio.run(another.close())


def test_without_the_package_there_is_a_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(NoVirtualCamera, match=r"needs pyvirtualcam .*; run: python -m pip install -r requirements.txt"):
        VirtualCamera("a test")


@pytest.mark.parametrize(
    ("platform", "remedy"),
    [("linux", "sudo modprobe v4l2loopback exclusive_caps=1"), ("darwin", "OBS Studio 30"), ("win32", "UnityCapture")],
)
def test_each_system_has_its_remedy(platform, remedy):
    reason = "'x' backend: No camera registered. Did you install any camera?\n'y' backend: not found"
    sentence = virtual_camera._sentence(reason, platform)
    assert sentence.startswith("There is no virtual camera (No camera registered); to get one: ")
    assert remedy in sentence and doctor.VIRTUAL_CAMERA_REMEDY[platform] in sentence


@pytest.mark.parametrize(
    "reason",
    [
        "'v4l2loopback' backend: Device /dev/video9 is already in use.",
        "'v4l2loopback' backend: Device /dev/video9 could not be opened: Device or resource busy",
        "'obs' backend: virtual camera output could not be started",
    ],
)
def test_a_device_that_another_program_holds(reason):
    assert virtual_camera._sentence(reason).endswith("; close the program that uses it.")


@pytest.mark.skipif(not LOOPBACKS, reason="there is no v4l2loopback device here")
def test_the_virtual_camera_of_this_machine():
    camera = VirtualCamera("a test", f"/dev/{LOOPBACKS[0].name}")
    camera.show(shown(numbered(1)))
    assert camera.report() == f"/dev/{LOOPBACKS[0].name}"
    asyncio.run(camera.close())
