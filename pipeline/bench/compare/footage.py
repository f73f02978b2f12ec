"""The driving video, decoded and tracked, and where the animated pictures are written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from fractions import Fraction
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.bench.known_driver import driving_frames
from pipeline.core.animator import DrivingFrame, Picture
from pipeline.liveportrait.crop import fitted

if TYPE_CHECKING:
    from pipeline.models.face_models import FaceModels

MOST_FRAMES, MOST_BYTES = 360, 2e9  # of a video: the original keeps all of it in memory

Track = Callable[[DrivingFrame], DrivingFrame]
Write = Callable[[Picture], None]


class Footage(Protocol):
    """A driving video."""

    about: str
    count: int  # frames

    def frames(self, reduced: bool) -> Iterator[DrivingFrame]:
        """Decode the frames one by one; with `reduced`, large ones are shrunk to 1280 pixels. No face is set yet."""

    def tracking(self) -> Track:
        """Return a function that finds the face of each frame; frames must come in order from the first."""

    def recording(self) -> AbstractContextManager[Write]:
        """Open what the animated pictures are written to."""


class Clip:
    """A video file; the animated pictures become another one, in a temporary folder."""

    def __init__(self, path: Path, models: FaceModels) -> None:
        """Raise VideoError if the file cannot be read."""
        self._path, self._models = path, models
        self._limit: int | None = 1
        [first] = self.frames(False)
        self._limit = min(MOST_FRAMES, int(MOST_BYTES // first.picture.nbytes))
        self.count = sum(1 for _ in self.frames(True))
        height, width = first.picture.shape[:2]
        self.about = f"{path.name}, {self.count} frames of {width} x {height}, decoded, tracked and encoded"

    def frames(self, reduced: bool) -> Iterator[DrivingFrame]:
        from pipeline.files.video import VideoReader

        with VideoReader(self._path) as video:
            for frame in islice(video, self._limit):
                yield DrivingFrame(fitted(frame.picture) if reduced else frame.picture, None, frame.time)

    def tracking(self) -> Track:
        from pipeline.face.tracker import FaceTracker

        tracker = FaceTracker(self._models)
        return lambda frame: replace(frame, face=tracker.track(frame.picture, frame.time))

    @contextmanager
    def recording(self) -> Iterator[Write]:
        from pipeline.files.video import VideoWriter

        rate = Fraction(30)
        with (
            tempfile.TemporaryDirectory() as folder,
            VideoWriter(Path(folder) / "drawn.mp4", rate, 1 / rate, "measured") as writer,
        ):
            numbers = count()
            yield lambda picture: writer.write(picture, next(numbers))


class KnownFootage:
    """A synthetic driver whose face is known, for machines without the face models."""

    about = "a synthetic driver whose face is known: nothing is decoded, tracked or encoded"

    def __init__(self) -> None:
        self._frames = list(driving_frames())
        self.count = len(self._frames)

    def frames(self, reduced: bool) -> Iterator[DrivingFrame]:
        return (replace(frame, picture=frame.picture.copy(), planes=None) for frame in self._frames)

    def tracking(self) -> Track:
        return lambda frame: frame

    def recording(self) -> AbstractContextManager[Write]:
        return nullcontext(lambda picture: None)


class Cursor:
    """A place in some footage, from which frames are read."""

    def __init__(self, footage: Footage, streams: bool) -> None:
        """Read and keep all frames now, unless `streams`."""
        self._footage, self._streams = footage, streams
        self._held = None if streams else list(footage.frames(reduced=False))
        self._rewind()

    def seek(self, number: int) -> None:
        """Go to the frame of this number. Frames between are read and tracked, as a player would."""
        if number < self._next:
            self._rewind()
        while self._next < number:
            self.read()

    def read(self) -> DrivingFrame:
        """Return the next frame, with its face tracked."""
        self._next += 1
        return self._track(next(self._frames))

    def _rewind(self) -> None:
        self._next = 0
        self._frames = iter(self._footage.frames(reduced=True) if self._held is None else self._held)
        self._track = self._footage.tracking()
