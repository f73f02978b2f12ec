"""Recordings: read back what was written, also after the writer was killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.files.animate import COMMENT
from realtime.endpoints import recorder as recorder_module
from realtime.endpoints.mp4 import Mp4Writer
from realtime.endpoints.output import ShownPicture
from realtime.endpoints.recorder import MOST_WAITING, Recorder, RecordingError, disk_room
from realtime.session import Session, SessionContext
from tests.support.fakes import LOOPBACK, FakeAnimator, FakeTracker, number_of, numbered, portrait
from tests.support.films import SIDE, heard, performance, read, record, shown
from tests.support.waiting import PATIENCE, new_threads, until

ROOT = Path(__file__).parents[3]
AAC = 1024 / 48000  # seconds of a frame: decoders give the last one whole


def near(level: int) -> Any:
    return pytest.approx(level, abs=3)


def test_a_varying_rate_becomes_constant(tmp_path):
    times = [0, 0.1, 0.4, 0.44, 0.5]
    report = record(tmp_path / "r.mp4", [shown(40 * n, at) for n, at in enumerate(times, 1)], fps=10)
    film = read(tmp_path / "r.mp4")
    assert film.levels == [near(level) for level in (40, 80, 80, 80, 160, 200)]
    assert film.times == pytest.approx([n / 10 for n in range(6)])
    size = (tmp_path / "r.mp4").stat().st_size
    assert report == {"name": "r.mp4", "seconds": 0.6, "bytes": size, "dropped": 0, "problem": None}
    assert film.comment == COMMENT and film.sound.size == 0


def test_voice_and_pictures_are_in_step(tmp_path):
    record(tmp_path / "r.mp4", performance(4), audio=True)
    film = read(tmp_path / "r.mp4")
    assert film.flashes() == pytest.approx([0, 1, 2, 3], abs=0.001)
    assert film.clicks() == pytest.approx([0, 1, 2, 3], abs=0.003)
    assert film.sound_begin + film.sound.size / 48000 == pytest.approx(4, abs=AAC)


def test_the_voice_ends_with_the_pictures(tmp_path):
    items = [shown(40, 0.0), *(heard(0.5, n / 50) for n in range(40)), shown(40, 0.5)]
    record(tmp_path / "r.mp4", items, audio=True, fps=10)
    film = read(tmp_path / "r.mp4")
    assert len(film.pictures) == 6 and film.sound.size / 48000 == pytest.approx(0.6, abs=AAC)


def test_the_voice_may_pause_and_come_back(tmp_path):
    items = [item for item in performance(4) if isinstance(item, ShownPicture) or not 100.5 < item.time < 102.5]
    record(tmp_path / "r.mp4", items, audio=True)
    assert read(tmp_path / "r.mp4").clicks() == pytest.approx([0, 3], abs=0.003)


def test_a_voice_that_nobody_asked_for_is_not_kept(tmp_path):
    record(tmp_path / "r.mp4", performance(1))
    with av.open(str(tmp_path / "r.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def driver(level: int = 255) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((48, SIDE, 3), level, np.uint8), format="rgb24")


def test_side_by_side(tmp_path):
    items = [shown(60, n / 30, driver=driver() if n < 15 else None) for n in range(30)]
    record(tmp_path / "r.mp4", items, side_by_side=True)
    first, last = (read(tmp_path / "r.mp4").pictures[n] for n in (0, 29))
    assert first.shape == (SIDE, 2 * SIDE, 3)
    assert first[12:52, 4 : SIDE - 4].mean() > 240 and first[:4, :SIDE].mean() < 12  # the camera, with black above
    assert first[:, SIDE + 4 :].mean() == near(60) and last[:, SIDE + 4 :].mean() == near(60)
    assert last[:, : SIDE - 4].mean() < 6  # the portrait idles: there is no driver


def test_the_camera_is_in_no_other_recording(tmp_path, monkeypatch):
    written: list[ShownPicture] = []
    compose = Recorder._composed
    monkeypatch.setattr(Recorder, "_composed", lambda self, item: written.append(item) or compose(self, item))
    record(tmp_path / "r.mp4", [shown(60, n / 30, driver=driver()) for n in range(30)])
    assert max(picture.max() for picture in read(tmp_path / "r.mp4").pictures) <= 66
    assert len(written) == 30 and all(item.driver is None for item in written)


def test_pictures_of_other_sizes_are_fitted_in(tmp_path):
    items = [shown(200, 0.0), shown(200, 0.1, side=32), shown(200, 0.2, side=SIDE * 2)]
    record(tmp_path / "a.mp4", items, fps=10)
    assert [picture.shape for picture in read(tmp_path / "a.mp4").pictures] == [(SIDE, SIDE, 3)] * 3
    assert read(tmp_path / "a.mp4").levels == [near(200)] * 3


def test_players_can_seek_in_a_finished_file(tmp_path):
    record(tmp_path / "r.mp4", performance(5), audio=True)
    data = (tmp_path / "r.mp4").read_bytes()
    assert data.find(b"moov") > data.find(b"mdat") > 0  # a plain index, and no fragments beside it
    with av.open(str(tmp_path / "r.mp4")) as container:
        assert container.duration == pytest.approx(5_000_000, abs=50_000)
        video = container.streams.video[0]
        assert (video.frames, video.codec_context.name, video.average_rate) == (150, "h264", 30)
        container.seek(4_000_000)
        assert next(container.decode(video=0)).time == pytest.approx(4, abs=0.01)


KILLED = """
import sys, time
from pathlib import Path
from realtime.endpoints.output import ShownPicture
from realtime.endpoints.recorder import MOST_WAITING, Recorder
from tests.support.films import performance
recorder = Recorder(Path(sys.argv[1]), audio=True, room=lambda: None)
for item in performance(60):
    while recorder._waiting.qsize() > MOST_WAITING // 2:
        time.sleep(0.0005)
    recorder.show(item) if isinstance(item, ShownPicture) else recorder.add_audio(item.audio, item.time)
    if recorder.report()["seconds"] >= 8:
        print("on", flush=True)
        time.sleep(60)
"""


def test_a_killed_recording_plays_to_the_last_second(tmp_path):
    path = tmp_path / "r.mp4"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "on\n"
    finally:
        process.kill()
        process.communicate()
    film = read(path)
    assert 6 * 30 <= len(film.pictures) <= 9 * 30 and film.comment == COMMENT
    assert film.flashes() == pytest.approx(film.clicks()[: len(film.flashes())], abs=0.003)
    assert len(film.clicks()) >= 6


def test_it_ends_where_no_room_is_left(tmp_path):
    answers = iter([None, None, "The folder is full; delete some."])
    report = record(tmp_path / "r.mp4", performance(5), room=lambda: next(answers))
    assert report["problem"] == "The recording ended: the folder is full; delete some."
    film = read(tmp_path / "r.mp4")
    assert len(film.pictures) == round(report["seconds"] * 30) == pytest.approx(60, abs=2)


def test_it_does_not_begin_where_no_room_is_left(tmp_path, monkeypatch):
    with pytest.raises(RecordingError, match="It is full"):
        Recorder(tmp_path / "r.mp4", room=lambda: "It is full.")
    assert disk_room(tmp_path) is None
    monkeypatch.setattr(recorder_module, "KEEP_FREE", 10**18)
    with pytest.raises(RecordingError, match=r"Only .* GB of the disk are free"):
        Recorder(tmp_path / "r.mp4")
    with pytest.raises(RecordingError, match=r"name the recording .mp4"):
        Recorder(tmp_path / "r.avi")
    with pytest.raises(RecordingError, match="does not exist; create it"):
        Recorder(tmp_path / "none" / "r.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    def full(self: Mp4Writer, planes: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Mp4Writer, "add_picture", full)
    report = record(tmp_path / "r.mp4", performance(2), audio=True)
    assert report["problem"] == (
        "The recording ended: it cannot be written (No space left on device); is there room for it?"
    )


def test_a_slow_encoder_costs_pictures_and_no_time(tmp_path, monkeypatch):
    go_on = threading.Event()
    add = Mp4Writer.add_picture
    monkeypatch.setattr(Mp4Writer, "add_picture", lambda self, planes: go_on.wait(PATIENCE) and add(self, planes))

    async def run() -> dict[str, Any]:
        recorder = Recorder(tmp_path / "r.mp4", room=lambda: None)
        for n in range(60):
            recorder.show(shown(2 * n, n / 30))  # returns at once
        go_on.set()
        while recorder._waiting.qsize():
            await asyncio.sleep(0.01)
        recorder.show(shown(240, 2.0))
        await recorder.close()
        return recorder.report()

    report = asyncio.run(run())
    assert 60 - MOST_WAITING - 3 <= report["dropped"] <= 60 - MOST_WAITING
    film = read(tmp_path / "r.mp4")
    assert len(film.pictures) == 61 and film.levels[60] == near(240)
    for n, level in enumerate(film.levels[:MOST_WAITING]):
        assert level == near(2 * n)


def test_a_sessions_end_finishes_its_recording(tmp_path):
    async def run() -> Session:
        session = Session(SessionContext(FakeAnimator(), FakeTracker, portrait(), LOOPBACK), lambda: None)
        recorder = Recorder(tmp_path / "r.mp4", room=lambda: None)
        session.add_output(recorder)
        session.open_here()
        frame = av.VideoFrame.from_ndarray(numbered(7), format="rgb24")
        while recorder.report()["seconds"] < 0.5:
            session.drive(frame)
            await asyncio.sleep(0.02)
        assert session.telemetry.stats()["recording"]["name"] == "r.mp4"
        await session.close()
        return session

    before = set(threading.enumerate())
    asyncio.run(run())
    until(lambda: not new_threads(before))
    numbers = [number_of(picture) for picture in read(tmp_path / "r.mp4").pictures]
    assert len(numbers) >= 15 and numbers[-1] == 7
