"""Files, streams and devices as cameras; what happens when one is unplugged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import pytest

from pipeline.files.video import VideoError
from realtime.endpoints import camera as camera_module
from realtime.endpoints.camera import Camera, CameraError, _paced, backoff, open_frames
from tests.support.clips import write_clip
from tests.support.fakes import number_of, numbered
from tests.support.waiting import PATIENCE, until

DEVICES = sorted(Path("/dev").glob("video*"))


def number(video: av.VideoFrame) -> int:
    return number_of(video.to_ndarray(format="rgb24"))


class Collected:
    """Frames' numbers, in their order."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._news = threading.Condition()

    def add(self, video: av.VideoFrame) -> None:
        with self._news:
            self.numbers.append(number(video))
            self._news.notify_all()

    def wait(self, done: Callable[[list[int]], Any]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: done(self.numbers), PATIENCE), self.numbers


@pytest.fixture
def clip(tmp_path) -> Path:
    return write_clip(tmp_path / "clip.mp4", [numbered(n) for n in range(1, 7)], rate=30)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(camera_module, "FIRST_SECONDS", 0.02)


@contextmanager
def webcam(port: int = 0) -> Iterator[int]:
    """A network camera (motion JPEG over HTTP) on a port of this machine, until it is unplugged."""
    unplugged = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            count = 0
            while not unplugged.wait(0.02):
                jpeg = cv2.imencode(".jpg", numbered(count % 255 + 1))[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                count += 1

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        unplugged.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_backoff_doubles_up_to_a_limit():
    assert [backoff(tries) for tries in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_a_file_is_played_again_and_again(clip):
    with closing(open_frames(str(clip))) as frames:
        assert [number(frame) for frame in islice(frames, 15)] == [*range(1, 7), *range(1, 7), 1, 2, 3]


def test_a_file_is_played_at_its_pace(clip):
    with closing(open_frames(str(clip))) as frames:
        began = time.monotonic()
        assert [number(frame) for frame in islice(frames, 6)] == [1, 2, 3, 4, 5, 6]
        assert time.monotonic() - began > 4.5 / 30


def test_a_jump_of_the_timestamps_stops_nothing():
    began = time.monotonic()
    assert list(_paced([(0.0, 1), (5000.0, 2), (5000.05, 3), (0.0, 4)])) == [1, 2, 3, 4]
    assert 0.04 < time.monotonic() - began < 1000


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("97", CameraError, "The camera 97 cannot be opened: plug it in, .*--camera demo needs none"),
        ("/dev/video97", CameraError, "The camera /dev/video97 cannot be opened"),
        ("none.mp4", VideoError, "There is no file none.mp4; check the name"),
        ("http://127.0.0.1:9/video", CameraError, r"The stream .* cannot be opened \(Connection refused\); is it on"),
    ],
)
def test_what_never_worked_is_a_sentence(name, error, sentence, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=sentence):
        Camera(lambda: open_frames(name))


def test_a_file_that_is_no_video(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match="cannot be read as a video"):
        open_frames(str(tmp_path / "a.mp4"))


def test_a_stream_without_video(tmp_path):
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
    with pytest.raises(CameraError, match="has no video; name another"):
        open_frames(f"file://{tmp_path / 'a.wav'}")


def test_a_camera_that_is_unplugged_comes_back(quick, caplog):
    collected = Collected()
    with ExitStack() as ending:
        with webcam() as port:
            camera = ending.enter_context(closing(Camera(lambda: open_frames(f"http://127.0.0.1:{port}/"))))
            camera.start(collected.add)
            collected.wait(lambda numbers: numbers and numbers[-1] > 20)
        until(lambda: not camera.connected)
        before = len(collected.numbers)
        with webcam(port):
            collected.wait(lambda numbers: len(numbers) > before + 3)
            assert camera.connected
            camera.close()
    assert collected.numbers[before] < 20  # it counts from the beginning
    assert [record.message for record in caplog.records] == [
        "The camera is gone: the portrait rests until it is back.",
        "The camera is back.",
    ]


def test_a_camera_that_fails_is_opened_again(quick):
    def failing() -> Iterator[av.VideoFrame]:
        for count in range(1, 3):
            yield av.VideoFrame.from_ndarray(numbered(count), format="rgb24")
        raise av.FFmpegError(5, "the driver is confused")

    tries = iter([failing(), None, None, failing()])

    def opening() -> Any:
        if (frames := next(tries, None)) is None:
            raise CameraError("It is not there.")
        return frames

    collected = Collected()
    with closing(Camera(opening)) as camera:
        camera.start(collected.add)
        collected.wait(lambda numbers: numbers == [1, 2, 1, 2])


def test_no_frame_comes_while_it_is_paused_and_none_after_its_end(clip):
    collected = Collected()
    with closing(Camera(lambda: open_frames(str(clip)))) as camera:
        camera.paused = True
        camera.start(collected.add)
        time.sleep(0.1)
        assert collected.numbers == []
        camera.paused = False
        collected.wait(len)
    count = len(collected.numbers)
    assert not any(thread.name == "camera" for thread in threading.enumerate())
    time.sleep(0.1)
    assert len(collected.numbers) == count


def test_a_camera_that_never_started_can_be_closed(clip):
    camera = Camera(lambda: open_frames(str(clip)))
    camera.close()
    camera.close()
    assert next(camera._frames, None) is None


@pytest.mark.skipif(not DEVICES, reason="there is no camera here")
def test_the_camera_of_this_machine():
    try:
        frames = open_frames(str(DEVICES[0]))
    except CameraError:
        pytest.skip(f"{DEVICES[0]} gives no pictures")
    with closing(frames):
        assert next(frames).width > 0
