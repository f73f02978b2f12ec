"""A session's pictures and its driver's voice in a file. See `Recorder._take` first."""

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
from realtime.endpoints.output import OutputName, ShownPicture
from realtime.endpoints.soundtrack import Soundtrack

MOST_WAITING = 15  # pictures, half a second: then the encoder does not keep up, and pictures are left out
MOST_HEARD = 100  # pieces of sound that wait beside them
LATE_SECONDS = 1.0  # what is heard later than this after its picture has become silence
KEEP_FREE = 1_000_000_000  # bytes of the disk


class RecordingError(RuntimeError):
    """Nothing can be recorded so; the text is a sentence with the remedy."""


class NoRoom(RecordingError):
    """Nothing can be recorded there."""


@dataclass(frozen=True, eq=False)
class Heard:
    """A piece of sound; it belongs to the picture that is shown at `time` (monotonic seconds)."""

    audio: av.AudioFrame
    time: float


def disk_room(folder: Path) -> str | None:
    """Why nothing more may be written there; None where there is room."""
    free = shutil.disk_usage(folder).free
    if free >= KEEP_FREE:
        return None
    return f"Only {free / 1e9:.1f} GB of the disk are free, and 1 GB is kept so; delete what you do not need."


class Recorder:
    """An Output that writes an MP4 file of constant rate in a thread of its own. Stops by itself where no room is left.

    The driver's camera is in it with `side_by_side` only: on the left, the puppet on the right.
    """

    name: OutputName = "recording"

    def __init__(
        self,
        path: Path,
        size: tuple[int, int] | None = None,
        fps: int = 30,
        side_by_side: bool = False,
        audio: bool = False,
        room: Callable[[], str | None] | None = None,
    ) -> None:
        """`size`: (width, height) of the puppet, even; None: the first picture's. Pictures of others are fitted in.

        `room` tells why nothing more may be written (None: the disk has room); it is asked each second.
        Raises RecordingError where there is no such folder; NoRoom.
        """
        if path.suffix.lower() != ".mp4":
            raise RecordingError(f"{path} cannot be recorded; name the recording .mp4.")
        if not path.parent.is_dir():
            raise RecordingError(f"The folder {path.parent} for the recording does not exist; create it first.")
        self.path = path
        self._size, self._side_by_side, self._audio, self._fps = size, side_by_side, audio, fps
        self._room = room or partial(disk_room, path.parent)
        self._problem: str | None = None
        if problem := self._room():
            raise NoRoom(problem)
        self._waiting: SimpleQueue[ShownPicture | Heard | None] = SimpleQueue()
        self._dropped = self._asked = 0  # pictures; at which tick there was room
        self._ticks: ConstantRate[ShownPicture] = ConstantRate(fps)
        self._soundtrack = Soundtrack()
        self._writer: Mp4Writer | None = None
        self._thread = threading.Thread(target=self._run, name="recorder")
        self._thread.start()

    def show(self, shown: ShownPicture) -> None:
        """As Output: never waits."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(shown if self._side_by_side else replace(shown, driver=None))
        else:
            self._dropped += 1

    def add_audio(self, audio: av.AudioFrame, time: float) -> None:
        """As Output."""
        if self._audio and self._waiting.qsize() < MOST_HEARD:
            self._waiting.put(Heard(audio, time))

    def report(self) -> dict[str, Any]:
        """Its name, how long and large it is, pictures left out, and why it ended by itself, if it did."""
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
        except OSError:  # there is none yet, or no longer
            return 0

    async def close(self) -> None:
        """Finish the file; it is complete then."""
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
        except Exception as error:  # of the disk mostly, and a recording may not end the session
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self._problem = f"The recording ended: it cannot be written ({reason}); is there room for it?"
            with contextlib.suppress(Exception):
                self._finish()

    def _take(self, item: ShownPicture | Heard) -> None:
        if isinstance(item, ShownPicture):
            self._writer = self._writer or self._begin(item)
            self._write(self._ticks.add(item, item.time))
            self._keep_room()
        elif self._writer and self._ticks.start is not None:
            self._writer.add_audio(self._soundtrack.add(item.audio, item.time - self._ticks.start))

    def _begin(self, first: ShownPicture) -> Mp4Writer:
        height, width = first.planes.shape
        self._size = self._size or (width, height * 2 // 3)
        return Mp4Writer(self.path, self._size[0] * (1 + self._side_by_side), self._size[1], self._fps, self._audio)

    def _write(self, due: list[ShownPicture]) -> None:
        """One picture, for as many ticks."""
        if self._writer and due:
            planes = self._composed(due[0])
            for _ in due:
                self._writer.add_picture(planes)
            self._writer.add_audio(self._soundtrack.until(self._ticks.given / self._fps - LATE_SECONDS))

    def _composed(self, shown: ShownPicture) -> Planes:
        assert self._size
        puppet = fitted(av.VideoFrame.from_ndarray(shown.planes, format="yuv420p"), *self._size)
        if not self._side_by_side:
            return puppet
        return beside(fitted(shown.driver, *self._size) if shown.driver else blank(*self._size), puppet)

    def _keep_room(self) -> None:
        """Each second, see whether there is any."""
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
