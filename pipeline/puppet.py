"""The program as a library: a portrait, frames in, frames out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain, count
from pathlib import Path
from typing import Any

from pipeline.core.animator import Animator, Picture
from pipeline.core.options import AnimateOptions
from pipeline.core.registry import AUTO, AnimatorSettings
from pipeline.core.timing import Stopwatch
from pipeline.face.tracker import FaceTracker
from pipeline.files.animate import Player, read_source
from pipeline.files.video import VideoFrame, VideoReader
from pipeline.load import load_animator
from pipeline.models.face_models import face_models

MICROSECOND = Fraction(1, 1_000_000)
FPS = 30


class Puppet:
    """A portrait that moves as the face in driving frames does.

    puppet = Puppet("portrait.jpg")
    for picture in puppet.animate(frames):
        ...
    """

    def __init__(
        self,
        portrait: Picture | Path | str,
        animator: Animator | str = AUTO,
        *,
        size: int = AnimatorSettings.size,
        weights: Path | None = None,
        options: Mapping[str, Any] = {},
    ) -> None:
        """Load the animator (the name of one, or one that is loaded) and prepare the portrait.

        `portrait` is a file or a (height, width, 3) uint8 RGB array, `size` the side of the animated picture in
        pixels, `weights` the folder of LivePortrait's checkpoints, `options` fields of AnimateOptions. Raise
        AnimatorError, WeightsError, OptionError or PortraitError, each with the remedy.
        """
        chosen, models = AnimateOptions().changed(options), face_models()
        picture = read_source(Path(portrait)) if isinstance(portrait, Path | str) else portrait
        if isinstance(animator, str):
            loaded = load_animator(animator, AnimatorSettings(models, size, weights=weights))
            animator = loaded.warmed_up(lambda done, total: None).animator
        self._player = Player(animator, FaceTracker(models), animator.prepare(picture), chosen)
        self.warnings = self._player.portrait.warnings

    def animate(
        self, frames: Iterable[Picture] | Path | str, times: Iterable[float] | None = None
    ) -> Iterator[Picture]:
        """Yield one picture, (height, width, 3) uint8 RGB, for each driving frame.

        `frames` are such arrays, of any size, shown at `times` in seconds (None: 30 a second), or a video file. The
        driver's neutral is chosen from the first two seconds with a face, which are read ahead. Raise VideoError if
        the file cannot be read or no frame shows a face.
        """
        if isinstance(frames, Path | str):
            with VideoReader(Path(frames)) as video:
                yield from self._play(video, frames)
        else:
            yield from self._play(_timed(frames, times), "the frames")

    def _play(self, frames: Iterable[VideoFrame], name: object) -> Iterator[Picture]:
        rest, ahead = iter(frames), list[VideoFrame]()
        driver = self._player.calibrate(_kept(rest, ahead), name)
        for animated in self._player.play(chain(ahead, rest), driver, Stopwatch()):
            yield animated.picture


def _timed(pictures: Iterable[Picture], times: Iterable[float] | None) -> Iterator[VideoFrame]:
    seconds = (number / FPS for number in count()) if times is None else times
    for picture, time in zip(pictures, seconds, strict=False):
        yield VideoFrame(picture, round(time / MICROSECOND), MICROSECOND)


def _kept(frames: Iterator[VideoFrame], kept: list[VideoFrame]) -> Iterator[VideoFrame]:
    for frame in frames:
        kept.append(frame)
        yield frame
