"""A session without a browser: what its outputs show, its keys, its end; and the whole command."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import av
import numpy as np
import pytest

import run
from pipeline.core.options import AnimateOptions
from pipeline.imaging.i420 import to_picture
from pipeline.imaging.source_picture import BUILTIN
from realtime.endpoints.camera import Camera
from realtime.endpoints.output import Output, ShownPicture
from realtime.local_session import LocalError, LocalSession, opened, perform, status_lines
from realtime.session import SessionContext
from realtime.webrtc.settings import MediaSettings
from tests.support.clips import gradient, write_clip
from tests.support.fakes import AT_REST, FakeAnimator, FakeTracker, number_of, numbered, portrait
from tests.support.virtual_cameras import installed
from tests.support.waiting import PATIENCE, new_threads, until

SIGNALS = (signal.SIGINT, signal.SIGTERM)
RED, GREEN, CAMERA = (200, 60, 60), (60, 200, 60), (60, 60, 200)


class Collecting:
    """An Output that keeps what is shown: (number, colour) of each picture."""

    name = "preview"

    def __init__(self) -> None:
        self.shown: list[tuple[int, tuple[int, int, int]]] = []
        self.closed = False
        self._news = threading.Condition()

    def show(self, shown: ShownPicture) -> None:
        picture = to_picture(shown.planes)
        colour = {"red": RED, "green": GREEN, "camera": CAMERA}
        name = min(colour, key=lambda name: np.abs(picture[-1, -1].astype(int) - colour[name]).sum())
        with self._news:
            self.shown.append((number_of(picture), name))
            self._news.notify_all()

    def add_audio(self, audio: av.AudioFrame, time: float) -> None: ...

    def report(self) -> None: ...

    async def close(self) -> None:
        self.closed = True

    def wait(self, done: Callable[[list[Any]], Any]) -> None:
        with self._news:
            start = len(self.shown)
            assert self._news.wait_for(lambda: done(self.shown[start:]), PATIENCE), self.shown[-5:]


class Webcam:
    """Frames that count 1..255 at 50 a second, until it is unplugged."""

    def __init__(self) -> None:
        self.plugged = threading.Event()
        self.plugged.set()

    def frames(self) -> Iterator[av.VideoFrame]:
        if not self.plugged.is_set():
            raise OSError("There is no camera.")
        return self._counting()

    def _counting(self) -> Iterator[av.VideoFrame]:
        pause, count = threading.Event(), 0
        while self.plugged.is_set() and not pause.wait(0.02):
            count = count % 255 + 1
            yield av.VideoFrame.from_ndarray(numbered(count, colour=CAMERA), format="rgb24")


@contextmanager
def performing(animator: FakeAnimator | None = None, new_tracker: Callable[[], Any] = FakeTracker) -> Iterator[Any]:
    """A local session, its webcam and its output."""
    webcam, output = Webcam(), Collecting()
    portraits = [portrait(RED), portrait(GREEN)]
    context = SessionContext(animator or FakeAnimator(), new_tracker, portraits[0], MediaSettings())
    local = LocalSession(context, portraits, AnimateOptions(), Camera(webcam.frames))
    local.start([output])
    try:
        yield local, webcam, output
    finally:
        local.stop()


def driven(shown: list[Any]) -> bool:
    return any(number != AT_REST for number, _ in shown)


def resting(shown: list[Any]) -> bool:
    return len(shown) > 2 and all(number == AT_REST for number, _ in shown[-3:])


def test_from_rest_to_the_driver_and_never_the_camera_itself():
    with performing() as (_, _, output):
        output.wait(driven)
    assert {colour for _, colour in output.shown} == {"red"}
    assert output.closed


def test_pause_rests_and_goes_on():
    with performing() as (local, _, output):
        output.wait(driven)
        local.act("pause")
        output.wait(resting)
        assert local.status()[1] == "Paused: the portrait rests"
        local.act("pause")
        output.wait(driven)
    assert {colour for _, colour in output.shown} == {"red"}


def test_unplugged_the_portrait_rests_until_the_camera_is_back(monkeypatch):
    monkeypatch.setattr("realtime.endpoints.camera.FIRST_SECONDS", 0.02)
    with performing() as (local, webcam, output):
        output.wait(driven)
        webcam.plugged.clear()
        output.wait(resting)
        assert "The camera is gone" in local.status()[1]
        webcam.plugged.set()
        output.wait(driven)
    assert {colour for _, colour in output.shown} == {"red"}


def test_next_portrait_goes_round():
    with performing() as (local, _, output):
        output.wait(driven)
        for colour in ("green", "red", "green"):
            local.act("next portrait")
            output.wait(lambda shown, colour=colour: colour in [name for _, name in shown])


def test_calibrate_takes_a_new_neutral():
    with performing() as (local, _, output):
        output.wait(driven)
        before = local._session._render_loop._driver._calibration.reference
        local.act("calibrate")
        output.wait(lambda shown: local._session._render_loop._driver._calibration.reference is not before)


def test_nothing_is_left():
    before = set(threading.enumerate())
    with performing() as (_, _, output):
        output.wait(driven)
    until(lambda: not new_threads(before))


def test_ctrl_c_is_a_clean_end_also_when_impatient():
    webcam, output = Webcam(), Collecting()
    context = SessionContext(FakeAnimator(), FakeTracker, portrait(), MediaSettings())
    local = LocalSession(context, [context.portrait], AnimateOptions(), Camera(webcam.frames))
    ready: list[bool] = []
    before = [signal.getsignal(number) for number in SIGNALS]

    def press_twice() -> None:
        output.wait(driven)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=press_twice)
    thread.start()
    perform(local, [output], lambda: ready.append(True))
    thread.join()
    assert ready == [True] and output.closed
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_session_that_fails_says_so(caplog):
    def broken() -> Any:
        raise RuntimeError("no tracker")

    context = SessionContext(FakeAnimator(), broken, portrait(), MediaSettings())
    local = LocalSession(context, [context.portrait], AnimateOptions(), Camera(Webcam().frames))
    with pytest.raises(LocalError, match="ended by itself; run the command again with --verbose"):
        perform(local, [], lambda: None)


def test_outputs_are_closed_where_one_cannot_be_made():
    first = Collecting()

    def failing() -> Output:
        raise LocalError("There is none.")

    with pytest.raises(LocalError, match="There is none"), opened([lambda: first, failing]):
        pytest.fail("it must not begin")
    assert first.closed


@pytest.mark.parametrize(
    ("state", "hint", "connected", "paused", "line"),
    [
        ("live", None, True, False, None),
        ("live", "far", True, False, "Too far away: come closer"),
        ("lost", "dark", True, False, "Too dark: turn on a light"),
        ("lost", None, True, False, "I cannot see your face"),
        ("lost", None, False, False, "The camera is gone: the portrait rests until it is back"),
        ("lost", None, False, True, "Paused: the portrait rests"),
    ],
)
def test_status_lines(state, hint, connected, paused, line):
    stats = {
        "state": state,
        "hint": hint,
        "fps": {"out": 29.6},
        "stages_ms": {"server": {"p50": 12.4}},
        "frames": {"dropped": 3},
    }
    lines = status_lines(stats, connected, paused)
    assert lines == ("30 fps   12 ms   3 dropped", *([line] if line else []))


def command(words: str, stop: Callable[[], None]) -> int:
    """`run.py camera` with `words`; `stop` waits in another thread, and then the user presses Ctrl-C."""

    def press() -> None:
        try:
            stop()
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        return run.main(["camera", *words.split()])
    finally:
        thread.join()


def test_the_command_shows_the_puppet_in_a_call_and_writes_it(monkeypatch, tmp_path, capsys, astronaut):
    recording = installed(monkeypatch)
    clip = write_clip(tmp_path / "driver.mp4", [astronaut] * 30, rate=30)
    words = (
        f"--animator meshwarp --size 128 --camera {clip} --virtual-camera --width 320 --height 180 "
        f"--record {tmp_path / 'puppet.mp4'} --set badge=false"
    )
    assert command(words, lambda: recording.wait(lambda sent: len(sent) > 60)) == 0
    assert "Animator: meshwarp on cpu" in capsys.readouterr().out
    assert recording.opened == {"size": (320, 180), "fps": 30, "format": "I420", "device": None}
    assert recording.closed == 1
    first, last = (to_picture(recording.pictures[i].reshape(270, 320)) for i in (0, -1))
    assert first[:, 80:240].std() > 30 and not first[:, :60].any()  # the portrait at rest, between borders
    assert np.abs(first.astype(int) - last).mean() < 20  # and later the same one
    with av.open(str(tmp_path / "puppet.mp4")) as movie:
        frames = [frame.to_ndarray(format="rgb24") for frame in movie.decode(video=0)]
    assert len(frames) > 10 and frames[0].shape == (128, 128, 3)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (f"--source {BUILTIN['astronaut']} --source none2.jpg", "none2.jpg cannot be read"),
        ("--source none.jpg --camera {clip} --record {folder}/a.mp4", "none.jpg cannot be read"),
        ("--camera none.mp4 --record {folder}/a.mp4", "There is no file none.mp4"),
        ("--camera {clip} --record {folder}/a.avi", "name the recording .mp4"),
        ("--camera {clip} --record {folder}/none/a.mp4", "does not exist; create it first"),
        (
            "--camera {clip} --virtual-camera none",
            "There is no virtual camera (Device none does not exist); to get one",
        ),
        ("--camera {clip} --set heads=1", "There is no option 'heads'"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(words, sentence, monkeypatch, tmp_path, capsys):
    installed(monkeypatch)
    monkeypatch.chdir(tmp_path)
    clip = write_clip(tmp_path / "clip.mp4", [gradient(64, 48, 0)] * 2)
    assert run.main(["camera", *words.format(clip=clip, folder=tmp_path).split()]) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert sentence in errors[-1] and "Traceback" not in "".join(errors)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("words", ["--width 321", "--height 20", "--fit stretch", "--fps 400", "--camera"])
def test_usage_errors(words, capsys):
    with pytest.raises(SystemExit) as exit:
        run.main(["camera", *words.split()])
    assert exit.value.code == 2 and "usage: run.py camera" in capsys.readouterr().err


def test_cameras_are_listed(capsys):
    assert run.main(["camera", "--list"]) == 0
    listed = capsys.readouterr().out
    assert "Camera" in listed and "Virtual camera" in listed
