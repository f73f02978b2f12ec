"""Animate a source that is a video: combine its motion with the driver's, smooth over all frames, then draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.core.animator import Motion, Picture
from pipeline.core.options import AnimateOptions
from pipeline.face.face import Face
from pipeline.face.tracker import FaceTracker
from pipeline.files.animate import read_motions
from pipeline.files.video import VideoError, VideoReader
from pipeline.liveportrait.animator import LivePortrait
from pipeline.liveportrait.corrections import correct
from pipeline.liveportrait.crop import fitted
from pipeline.liveportrait.driven_keypoints import NOWHERE, Drawing, DriverMotion, reframed
from pipeline.liveportrait.editing import edit
from pipeline.liveportrait.keypoint_motion import KeypointMotion, amplify, drive_video, join, picture_reference

OBSERVATION_VARIANCE = 3e-7  # of the Kalman smoother, as in the official pipeline


@dataclass(frozen=True)
class SourceVideo:
    """Reads the source twice, for its motion and to draw; only motion is kept in memory in between."""

    animator: LivePortrait
    tracker: FaceTracker
    options: AnimateOptions

    def source_motions(self, source: Path) -> list[DriverMotion]:
        """Return the source's motion frame by frame. Raise VideoError if it shows no face."""
        found: list[DriverMotion | None] = []
        self.tracker.reset()
        with VideoReader(source) as video:
            for frame in video:
                picture = fitted(frame.picture)
                face = self.tracker.track(picture, frame.time, self.options.smoothing)
                found.append(self._source_motion(picture, face) if face else None)
        return fill_gaps(found, source)

    def driving_motions(self, driving: Path) -> list[DriverMotion]:
        """Return the driver's motion frame by frame. Raise VideoError if it shows no face."""
        with VideoReader(driving) as video:
            found = [motion for _, motion in read_motions(self.animator, self.tracker, self.options, video)]
        return fill_gaps(found, driving)

    def pictures(
        self, video: VideoReader, source: Sequence[DriverMotion], driving: Sequence[DriverMotion]
    ) -> Iterator[tuple[Picture, int]]:
        """Yield (picture, pts) for each frame of `video`, whose motions are `source`, until one of the motions ends.

        A single driving motion comes from a picture and drives every frame.
        """
        still = len(driving) == 1
        count = len(source) if still else min(len(source), len(driving))
        source, driving = source[:count], [driving[0]] * count if still else driving[:count]
        points = self._driven(source, driving, still).transformed()
        for index, (frame, seen) in enumerate(zip(video, source, strict=False)):  # the video may have more frames
            portrait = self.animator.portrait(fitted(frame.picture), seen.face)
            place, ratios = points[index : index + 1], driving[index].ratios
            with torch.inference_mode():
                correctors, own = self.animator.correctors, portrait.keypoints
                place = correct(correctors, self.options, own, place, portrait.ratios, ratios)
            [picture] = self.animator.start_pictures([Drawing(portrait, place, self.options)], "rgb")()
            yield picture, frame.pts

    def _source_motion(self, picture: Picture, face: Face) -> DriverMotion:
        portrait = self.animator.portrait(picture, face)
        return DriverMotion(face, portrait.motion, portrait.ratios, NOWHERE, 0.0)

    def _driven(self, source: Sequence[DriverMotion], driving: Sequence[DriverMotion], still: bool) -> KeypointMotion:
        options = self.options
        own = join([motion.keypoints for motion in source])
        moved = join([reframed(motion, driving[0].box) for motion in driving])
        reference = picture_reference(moved.frame(0), options.region) if still else moved.frame(0)
        moved = amplify(moved, reference, options)
        variance = None if still else OBSERVATION_VARIANCE
        driven = drive_video(own, moved, reference if options.relative else None, options.region, variance)
        return edit(driven, options)


def fill_gaps(motions: Sequence[Motion | None], path: Path) -> list[DriverMotion]:
    """Replace each missing motion by the one before (at the start, the first). Raise VideoError if all are missing."""
    last = next((motion for motion in motions if isinstance(motion, DriverMotion)), None)
    if last is None:
        raise VideoError(f"No face was found in {path}; choose a video that shows one from the front.")
    filled = []
    for motion in motions:
        last = motion if isinstance(motion, DriverMotion) else last
        filled.append(last)
    return filled
