"""A local camera, or a video in its place. Its thread passes on the frames, and reopens a camera that was unplugged."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias, TypeVar

import av
import cv2
from av.container import InputContainer

from pipeline.files.video import VideoReader

WIDTH, HEIGHT = 640, 480  # pixels asked of a device, as the page asks the browser
FIRST_SECONDS = 0.5  # from the loss of a camera to the first retry
LONGEST_SECONDS = 8.0  # between retries
STALLED_SECONDS = 5.0  # that a stream may take to open, and for its next frame
LONGEST_PAUSE_SECONDS = 1.0  # that a timestamp may cause
ENGINES = {"linux": cv2.CAP_V4L2, "darwin": cv2.CAP_AVFOUNDATION, "win32": cv2.CAP_DSHOW}

Frames: TypeAlias = Generator[av.VideoFrame, None, None]
T = TypeVar("T")

logger = logging.getLogger(__name__)


class CameraError(RuntimeError):
    """The camera cannot be opened; the text is a sentence with the remedy."""


def open_frames(name: str, fps: int = 30) -> Frames:
    """Open a device (its number or /dev path), a video file, which is repeated, or a stream (its URL).

    Its frames come at their own pace; if they end, the camera is gone. Raise CameraError if it cannot be opened,
    VideoError for a file.
    """
    if name.isdecimal() or name.startswith("/dev/"):
        return _device(name, fps)
    if "://" in name:
        return _stream(name)
    return _file(Path(name))


def backoff(tries: int) -> float:
    """Return the seconds to wait before the next retry, after `tries` of them."""
    return min(FIRST_SECONDS * 2.0**tries, LONGEST_SECONDS)


class Camera:
    """Passes on the frames of `opening` until it is closed. If they end, it is opened again."""

    def __init__(self, opening: Callable[[], Frames]) -> None:
        """Open it for the first time; an error of `opening` is raised: only a camera that worked is waited for."""
        self._opening = opening
        self._frames = opening()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)  # a device driver may hang
        self._on_frame: Callable[[av.VideoFrame], None] = lambda frame: None
        self.connected = True
        self.paused = False  # its frames are dropped

    def start(self, on_frame: Callable[[av.VideoFrame], None]) -> None:
        """Call `on_frame` with each frame, in the camera's thread."""
        self._on_frame = on_frame
        self._thread.start()

    def close(self) -> None:
        """Stop: no frame comes after this."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join(STALLED_SECONDS)
        else:
            self._frames.close()

    def _run(self) -> None:
        while not self._closed.is_set():
            with closing(self._frames):
                self._pass_on(self._frames)
            if not self._closed.is_set():
                self.connected = False
                logger.warning("The camera is gone: the portrait rests until it is back.")
                self._reconnect()

    def _pass_on(self, frames: Iterable[av.VideoFrame]) -> None:
        try:
            for frame in frames:
                if self._closed.is_set():
                    return
                if not self.connected:
                    logger.warning("The camera is back.")
                self.connected = True
                if not self.paused:
                    self._on_frame(frame)
        except Exception as error:  # drivers and decoders fail in many ways
            logger.debug("The camera failed: %s.", error)

    def _reconnect(self) -> None:
        tries = 0
        while not self._closed.wait(backoff(tries)):
            try:
                self._frames = self._opening()
            except Exception as error:
                logger.debug("The camera cannot be opened: %s", error)
                tries += 1
            else:
                return


def _device(name: str, fps: int) -> Frames:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # our own errors below say what it would warn of
    capture = cv2.VideoCapture(int(name) if name.isdecimal() else name, ENGINES.get(sys.platform, cv2.CAP_ANY))
    if not capture.isOpened():
        raise CameraError(
            f"The camera {name} cannot be opened: plug it in, close the program that uses it, or allow this program to "
            "use it. `python run.py camera --list` names the cameras; --camera demo needs none."
        )
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, WIDTH)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, HEIGHT)
    capture.set(cv2.CAP_PROP_FPS, fps)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return _grabbed(capture)


def _grabbed(capture: cv2.VideoCapture) -> Frames:
    try:
        while (read := capture.read())[0]:
            yield av.VideoFrame.from_ndarray(read[1], format="bgr24")
    finally:
        capture.release()


def _file(path: Path) -> Frames:
    with VideoReader(path):  # raises now what is wrong with the file
        return _repeated(path)


def _repeated(path: Path) -> Frames:
    any_frame = True
    while any_frame:
        any_frame = False
        with VideoReader(path) as video:
            for frame in _paced((frame.time, frame) for frame in video):
                any_frame = True
                yield av.VideoFrame.from_ndarray(frame.picture, format="rgb24")
            time.sleep(float(1 / video.rate))  # show the last one, too


def _stream(url: str) -> Frames:
    try:
        container = av.open(url, timeout=STALLED_SECONDS, options={"fflags": "nobuffer"})
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        sentence = f"The stream {url} cannot be opened ({reason}); is it on, and is the address right?"
        raise CameraError(sentence) from error
    if not container.streams.video:
        container.close()
        raise CameraError(f"The stream {url} has no video; name another.")
    return _received(container)


def _received(container: InputContainer) -> Frames:
    with container:
        frames = container.decode(video=0)
        yield from _paced((frame.time or 0.0, frame) for frame in frames) if container.duration else frames


def _paced(timed: Iterable[tuple[float, T]]) -> Iterator[T]:
    """Yield the items at their times (seconds). If the times jump, go on from there at once."""
    start = -math.inf
    for at, item in timed:
        now = time.monotonic()
        if abs(start + at - now) > LONGEST_PAUSE_SECONDS:
            start = now - at
        time.sleep(max(0.0, start + at - now))
        yield item
