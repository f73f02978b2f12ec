"""Animate a portrait with a driving video, file to file."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.animator import Animator, Cue, DrivingFrame, Motion, Picture, Portrait, Progress
from pipeline.core.options import AnimateOptions
from pipeline.core.timing import Stopwatch
from pipeline.driving.calibration import WINDOW_SECONDS
from pipeline.driving.driver_state import DriverState
from pipeline.face.tracker import FaceTracker
from pipeline.files.video import VideoError, VideoFrame, VideoReader, VideoWriter
from pipeline.imaging.source_picture import PortraitError, read_picture

COMMENT = "AI-generated: a portrait picture animated by a machine; not a recording of a real person."

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg"),
    *(".mpeg", ".ts", ".ogv", ".wmv", ".flv", ".3gp"),
)


@dataclass(frozen=True)
class AnimateReport:
    """The result of animating a file: counts, time and warnings."""

    frames: int
    lost: int  # frames without a face; the portrait returns to rest there
    skipped: int  # packets of the driving video that could not be decoded
    seconds: float  # time it took
    fps: float  # frames divided by seconds
    stages_ms: dict[str, dict[str, float]]  # stage -> p50, p95, p99 per frame; "total" is track + motion + animate
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class AnimatedFrame:
    """One driving frame and the picture made from it."""

    frame: VideoFrame
    motion: Motion | None
    cue: Cue
    picture: Picture


@dataclass(frozen=True)
class Player:
    """Animates a portrait with driving videos, in the calling thread."""

    animator: Animator
    tracker: FaceTracker
    portrait: Portrait
    options: AnimateOptions

    def calibrate(self, frames: Iterable[VideoFrame], name: object) -> DriverState:
        """Return a driver with its neutral from the first two seconds with a face; raise VideoError if none has one."""
        motions: list[Motion] = []
        end = math.inf
        frames = itertools.takewhile(lambda frame: frame.time <= end, frames)
        for frame, motion in read_motions(self.animator, self.tracker, self.options, frames):
            if motion:
                end = min(end, frame.time + WINDOW_SECONDS)
                motions.append(motion)
        if not motions:
            raise VideoError(f"No face was found in {name}; choose a video that shows one from the front.")
        return DriverState.rehearsed(motions)

    def play(self, frames: Iterable[VideoFrame], driver: DriverState, watch: Stopwatch) -> Iterator[AnimatedFrame]:
        """Yield each frame animated, in order; `watch` times the stages."""
        self.tracker.reset()
        for frame in watch.each("decode", frames):
            with watch.stage("total"):
                animated = self._animate(frame, driver, watch)
            yield animated

    def _animate(self, frame: VideoFrame, driver: DriverState, watch: Stopwatch) -> AnimatedFrame:
        with watch.stage("track"):
            face = self.tracker.track(frame.picture, frame.time, self.options.smoothing)
        with watch.stage("motion"):
            (motion,) = self.animator.read_motion([DrivingFrame(frame.picture, face, frame.time, driver.motion)])
            cue = driver.cue(self.portrait, self.options, motion, frame.time, frame.picture)
        with watch.stage("animate"):
            (picture,) = self.animator.animate([cue])
        return AnimatedFrame(frame, motion, cue, picture)


def read_motions(
    animator: Animator, tracker: FaceTracker, options: AnimateOptions, frames: Iterable[VideoFrame]
) -> Iterator[tuple[VideoFrame, Motion | None]]:
    """Yield each frame of a driving video with its motion, None if it shows no face."""
    previous: Motion | None = None
    tracker.reset()
    for frame in frames:
        face = tracker.track(frame.picture, frame.time, options.smoothing)
        [motion] = animator.read_motion([DrivingFrame(frame.picture, face, frame.time, previous)])
        previous = motion or previous
        yield frame, motion


def is_video(path: Path) -> bool:
    """Return whether the file name has a video suffix."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def read_source(path: Path) -> Picture:
    """Read a portrait from a picture file. Raise PortraitError if it cannot be read."""
    try:
        return read_picture(path.read_bytes())
    except OSError as error:
        raise PortraitError(f"{path} cannot be read ({error.strerror}); name a picture file.") from error


def animate(
    player: Player,
    driving: Path,
    output: Path,
    progress: Progress,
    on_frame: Callable[[AnimatedFrame], None] = lambda frame: None,
) -> AnimateReport:
    """Write to `output` the portrait moving like the face in `driving`, with the same timestamps and sound.

    Raise VideoError, and leave no file, if a file cannot be read or written or the video shows no face.
    """
    watch, frames, lost = Stopwatch(), 0, 0
    start = time.perf_counter()
    with VideoReader(driving) as video:
        driver = player.calibrate(video, driving)
    with (
        VideoReader(driving) as video,
        VideoWriter(output, video.rate, video.time_base, COMMENT, audio_from=driving) as writer,
    ):
        for animated in player.play(video, driver, watch):
            with watch.stage("encode"):
                writer.write(animated.picture, animated.frame.pts)
            on_frame(animated)
            frames, lost = frames + 1, lost + (animated.motion is None)
            progress(frames, video.expected_frames)
    seconds = time.perf_counter() - start
    warnings = (*player.portrait.warnings, *_warnings(frames, lost, video.skipped))
    return AnimateReport(frames, lost, video.skipped, seconds, frames / seconds, watch.percentiles(), warnings)


def _warnings(frames: int, lost: int, skipped: int) -> Iterator[str]:
    if lost:
        yield f"{lost} of {frames} frames show no face; the portrait is at rest there."
    if skipped:
        yield f"{skipped} damaged packets of the driving video were skipped."
