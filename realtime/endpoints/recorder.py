"""Records a session's pictures and its driver's voice in a file. Read `Recorder._take` first."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import av

from pipeline.core.animator import Planes
from realtime.core.threads import in_thread
from realtime.endpoints.compose import beside, blank, fitted
from realtime.endpoints.constant_rate import ConstantRate
from realtime.endpoints.mp4 import Mp4Writer
from realtime.endpoints.output import Output, OutputName, ShownPicture
from realtime.endpoints.soundtrack import Soundtrack

MOST_WAITING = 15  # pictures, half a second: if more wait, the encoder does not keep up, and pictures are dropped
MOST_HEARD = 100  # pieces of sound that may wait
LATE_SECONDS = 1.0  # sound that comes later than this after its picture is lost
KEEP_FREE = 1_000_000_000  # bytes of the disk that stay free


class RecordingError(RuntimeError):
    """Recording is not possible; the text is a sentence with the remedy."""


class NoRoom(RecordingError):
    """The disk has no room for a recording."""


@dataclass(frozen=True, eq=False)
class Heard:
    """A piece of sound that belongs to the picture shown at `time` (monotonic seconds)."""

    audio: av.AudioFrame
    time: float


def disk_room(folder: Path) -> str | None:
    """Return why nothing more may be written to `folder`; None if there is room."""
    free = shutil.disk_usage(folder).free
    if free >= KEEP_FREE:
        return None
    return f"Only {free / 1e9:.1f} GB of the disk are free, and 1 GB must stay free; delete what you do not need."


class Recorder(Output):
    """Writes an MP4 file of constant rate, in its own thread. It stops by itself if the disk is full.

    With `side_by_side` the driver's camera is on the left of the picture; else it is not in the file.
    """

    name: OutputName = "recording"

    def __init__(
        self,
        path: Path,
        fps: int = 30,
        side_by_side: bool = False,
        audio: bool = False,
        room: Callable[[], str | None] | None = None,
    ) -> None:
        """`room` returns why nothing more may be written (None: there is room); it is called every second.

        Raise RecordingError if the folder of `path` does not exist, NoRoom if there is no room.
        """
        if path.suffix.lower() != ".mp4":
            raise RecordingError(f"{path} cannot be recorded; name the recording .mp4.")
        if not path.parent.is_dir():
            raise RecordingError(f"The folder {path.parent} for the recording does not exist; create it first.")
        self.path = path
        self._side_by_side, self._audio, self._fps = side_by_side, audio, fps
        self._size = (0, 0)  # even (width, height) of the first puppet; those of other sizes are fitted in
        self._room = room or partial(disk_room, path.parent)
        self._problem: str | None = None
        if problem := self._room():
            raise NoRoom(problem)
        self._waiting: SimpleQueue[ShownPicture | Heard | None] = SimpleQueue()
        self._dropped = self._asked = 0  # pictures; the tick of the last call of `room`
        self._ticks: ConstantRate[ShownPicture] = ConstantRate(fps)
        self._soundtrack = Soundtrack()
        self._writer: Mp4Writer | None = None
        self._thread = threading.Thread(target=self._run, name="recorder")
        self._thread.start()

    def show(self, shown: ShownPicture) -> None:
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(shown if self._side_by_side else replace(shown, driver=None))
        else:
            self._dropped += 1

    def add_audio(self, audio: av.AudioFrame, time: float) -> None:
        if self._audio and self._waiting.qsize() < MOST_HEARD:
            self._waiting.put(Heard(audio, time))

    def report(self) -> dict[str, Any]:
        """Return name, length and size of the file, the dropped pictures, and why it ended by itself, if it did."""
        return {
            "name": self.path.name,
            "seconds": round(self._ticks.given / self._fps, 2),
            "bytes": self._bytes(),
            "dropped": self._dropped,
            "problem": self._problem,
        }

    def _bytes(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:  # there is no file yet, or no longer
            return 0

    async def close(self) -> None:
        self._waiting.put(None)
        await in_thread(self._thread.join)

    # From here on: the recorder's thread.

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            if self._problem is None:
                self._attempt(partial(self._take, item))
        if self._problem is None:
            self._attempt(self._finish)

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # mostly of the disk; a recording must not end the session
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self._problem = f"The recording ended: it cannot be written ({reason}); is there room for it?"
            with contextlib.suppress(Exception):
                self._finish()

    def _take(self, item: ShownPicture | Heard) -> None:
        if isinstance(item, ShownPicture):
            self._writer = self._writer or self._begin(item)
            self._write(self._ticks.add(item, item.time))
            self._check_room()
        elif self._writer and self._ticks.start is not None:
            self._writer.add_audio(self._soundtrack.add(item.audio, item.time - self._ticks.start))

    def _begin(self, first: ShownPicture) -> Mp4Writer:
        rows, width = first.planes.shape
        height = rows * 2 // 3
        self._size = width, height
        return Mp4Writer(self.path, width * (1 + self._side_by_side), height, self._fps, self._audio)

    def _write(self, due: list[ShownPicture]) -> None:
        if self._writer and due:
            planes = self._composed(due[0])
            for _ in due:
                self._writer.add_picture(planes)
            self._writer.add_audio(self._soundtrack.until(self._ticks.given / self._fps - LATE_SECONDS))

    def _composed(self, shown: ShownPicture) -> Planes:
        puppet = fitted(av.VideoFrame.from_ndarray(shown.planes, format="yuv420p"), *self._size)
        if not self._side_by_side:
            return puppet
        return beside(fitted(shown.driver, *self._size) if shown.driver else blank(*self._size), puppet)

    def _check_room(self) -> None:
        """Check every second whether there is room; if not, finish the file."""
        if self._ticks.given < self._asked + self._fps:
            return
        self._asked = self._ticks.given
        if problem := self._room():
            self._finish()
            self._problem = f"The recording ended: {problem[0].lower()}{problem[1:]}"

    def _finish(self) -> None:
        if self._writer:
            try:
                self._write(self._ticks.end())
                self._writer.add_audio(self._soundtrack.until(self._ticks.given / self._fps))
            finally:
                self._writer.close()
