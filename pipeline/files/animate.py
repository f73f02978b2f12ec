"""A portrait and a driving video into an animated video, file to file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.animator import AnimateOptions, Animator, Cue, DrivingFrame, Motion, Picture, Portrait, Progress
from pipeline.core.timing import Stopwatch
from pipeline.driving.calibration import WINDOW_SECONDS
from pipeline.driving.driver_state import DriverState
from pipeline.face.tracker import FaceTracker
from pipeline.files.video import VideoError, VideoFrame, VideoReader, VideoWriter
from pipeline.imaging.source_picture import PortraitError, read_picture

COMMENT = "AI-generated: a portrait picture animated by a machine; not a recording of a real person."

VIDEO_SUFFIXES = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".ogv",
    ".wmv",
    ".flv",
    ".3gp",
)

"""Called with (frames done, frames in all, where known) after each frame."""


@dataclass(frozen=True)
class AnimateReport:
    """How an animation went."""

    frames: int
    lost: int  # frames without a face: the portrait eases to rest there
    skipped: int  # packets of the driving video that could not be decoded
    seconds: float  # of work
    fps: float  # frames by seconds of work
    stages_ms: dict[str, dict[str, float]]  # stage -> p50, p95, p99 of a frame; total: track, motion, animate
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Played:
    """One driving frame and what became of it."""

    frame: VideoFrame
    motion: Motion | None
    cue: Cue
    picture: Picture


@dataclass(frozen=True)
class Player:
    """Plays driving videos with a portrait, in the thread of whoever calls."""

    animator: Animator
    tracker: FaceTracker
    portrait: Portrait
    options: AnimateOptions

    def rehearse(self, driving: Path) -> DriverState:
        """A DriverState whose neutral is chosen from the first two seconds with a face; VideoError without any."""
        motions: list[Motion] = []
        begin = 0.0
        self.tracker.reset()
        with VideoReader(driving) as video:
            for frame in video:
                if motions and frame.time > begin + WINDOW_SECONDS:
                    break
                motion = self._motion(frame, motions[-1] if motions else None)
                begin = begin if motions else frame.time
                motions += [motion] if motion else []
        if not motions:
            raise VideoError(f"No face was found in {driving}; choose a video that shows one from the front.")
        return DriverState.rehearsed(motions)

    def play(self, frames: Iterable[VideoFrame], state: DriverState, watch: Stopwatch) -> Iterator[Played]:
        """Animate each frame, in order."""
        self.tracker.reset()
        for frame in watch.each("decode", frames):
            with watch.stage("total"):
                played = self._played(frame, state, watch)
            yield played

    def _played(self, frame: VideoFrame, state: DriverState, watch: Stopwatch) -> Played:
        with watch.stage("track"):
            face = self.tracker.track(frame.picture, frame.time, self.options.smoothing)
        with watch.stage("motion"):
            (motion,) = self.animator.read_motion([DrivingFrame(frame.picture, face, frame.time, state.motion)])
            cue = state.cue(self.portrait, self.options, motion, frame.time, frame.picture)
        with watch.stage("animate"):
            (picture,) = self.animator.animate([cue])
        return Played(frame, motion, cue, picture)

    def _motion(self, frame: VideoFrame, previous: Motion | None) -> Motion | None:
        face = self.tracker.track(frame.picture, frame.time, self.options.smoothing)
        return self.animator.read_motion([DrivingFrame(frame.picture, face, frame.time, previous)])[0]


def is_video(path: Path) -> bool:
    """Whether a file's name says that it is a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def read_source(path: Path) -> Picture:
    """The portrait in a picture file. Raises PortraitError."""
    try:
        return read_picture(path.read_bytes())
    except OSError as error:
        raise PortraitError(f"{path} cannot be read ({error.strerror}); name a picture file.") from error


def animate(
    player: Player,
    driving: Path,
    output: Path,
    progress: Progress,
    on_played: Callable[[Played], None] = lambda played: None,
) -> AnimateReport:
    """Write `output`: the portrait moving as the face in `driving`, with its timestamps and its sound.

    Raises VideoError where a file cannot be read or written, or no face is in the video; nothing is left behind then.
    """
    watch, frames, lost = Stopwatch(), 0, 0
    start = time.perf_counter()
    state = player.rehearse(driving)
    with (
        VideoReader(driving) as video,
        VideoWriter(output, video.rate, video.time_base, COMMENT, audio_from=driving) as writer,
    ):
        for played in player.play(video, state, watch):
            with watch.stage("encode"):
                writer.write(played.picture, played.frame.pts)
            on_played(played)
            frames, lost = frames + 1, lost + (played.motion is None)
            progress(frames, video.expected_frames)
    seconds = time.perf_counter() - start
    warnings = (*player.portrait.warnings, *_warnings(frames, lost, video.skipped))
    return AnimateReport(frames, lost, video.skipped, seconds, frames / seconds, watch.percentiles(), warnings)


def _warnings(frames: int, lost: int, skipped: int) -> Iterator[str]:
    if lost:
        yield f"{lost} of {frames} frames show no face; the portrait is at rest there."
    if skipped:
        yield f"{skipped} damaged packets of the driving video were left out."
