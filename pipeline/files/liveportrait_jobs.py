"""`run.py animate` with LivePortrait, which adds recorded motion, a picture as driver and a video as source."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.core.animator import Cue, DrivingFrame, Motion, Picture, Progress, Reference
from pipeline.core.options import AnimateOptions
from pipeline.core.timing import Stopwatch
from pipeline.face.face import Face
from pipeline.face.find import find_faces
from pipeline.face.tracker import FaceTracker
from pipeline.files.animate import COMMENT, AnimateReport, Player, animate, is_video, read_source
from pipeline.files.source_video import SourceVideo, fill_gaps
from pipeline.files.video import VideoError, VideoReader, VideoWriter
from pipeline.imaging.source_picture import choose_face
from pipeline.liveportrait.animator import LivePortrait
from pipeline.liveportrait.corrections import Ratios
from pipeline.liveportrait.driven_keypoints import NOWHERE, DriverMotion, reframed
from pipeline.liveportrait.keypoint_motion import join
from pipeline.liveportrait.templates import Array, MotionTemplate, TemplateError, load_template, save_template
from pipeline.models.face_models import FaceModels


@dataclass(frozen=True)
class AnimateRequest:
    """The files of one `run.py animate`; either `driving` or `motion` is given."""

    source: Path  # a picture or a video
    output: Path  # a video; a picture if a picture drives a picture
    driving: Path | None = None  # a video or a picture
    motion: Path | None = None  # a motion template
    save_motion: Path | None = None  # where to write the motion template of a driving video


@dataclass(frozen=True)
class FileAnimator:
    """Animates files with LivePortrait."""

    animator: LivePortrait
    models: FaceModels
    options: AnimateOptions

    def animate(self, request: AnimateRequest, progress: Progress) -> AnimateReport:
        """Write the output. Raise PortraitError, VideoError or TemplateError, each with a sentence for the user."""
        driving = request.driving
        if request.save_motion and (driving is None or not is_video(driving) or is_video(request.source)):
            raise TemplateError("--save-motion needs a video in --driving and a picture in --source; leave it out.")
        if is_video(request.source):
            return self._from_video(request, progress)
        portrait = self.animator.prepare(read_source(request.source))
        player = Player(self.animator, FaceTracker(self.models), portrait, self.options)
        if driving is None:
            return self._from_template(player, request, progress)
        if not is_video(driving):
            return self._picture(player, driving, request.output, progress)
        return _from_picture(player, driving, request, progress)

    def _from_template(self, player: Player, request: AnimateRequest, progress: Progress) -> AnimateReport:
        template, face = self._template(request), player.portrait.face
        motions = template_motions(template, face)
        reference = Reference(motions[0], face.shape, face.pose, face.eye_ratio)
        cues = [Cue(player.portrait, self.options, motion, reference, 1.0) for motion in motions]
        rate = Fraction(template.fps).limit_denominator(1001)
        with VideoWriter(request.output, rate, 1 / rate, COMMENT) as writer:
            pictures = ((self.animator.animate([cue])[0], index) for index, cue in enumerate(cues))
            return _write(pictures, len(cues), writer, player.portrait.warnings, progress)

    def _picture(self, player: Player, driving: Path, output: Path, progress: Progress) -> AnimateReport:
        """Write the portrait with the expression and pose of the face in the picture `driving`."""
        start = time.perf_counter()
        cue = Cue(player.portrait, self.options, self._still_motion(driving), None, 1.0)
        [picture] = self.animator.animate([cue])
        exif = Image.Exif()
        exif[0x010E] = COMMENT  # ImageDescription
        try:
            Image.fromarray(picture).save(output, exif=exif)
        except (OSError, ValueError) as error:
            raise VideoError(
                f"{output} cannot be written ({error}); two pictures make a picture: name the output .png or .jpg."
            ) from error
        progress(1, 1)
        seconds = time.perf_counter() - start
        return AnimateReport(1, 0, 0, seconds, 1 / seconds, {}, player.portrait.warnings)

    def _from_video(self, request: AnimateRequest, progress: Progress) -> AnimateReport:
        source = SourceVideo(self.animator, FaceTracker(self.models), self.options)
        motions = source.source_motions(request.source)
        sound = request.driving if request.driving and is_video(request.driving) else request.source
        with (
            VideoReader(request.source) as video,
            VideoWriter(request.output, video.rate, video.time_base, COMMENT, audio_from=sound) as writer,
        ):
            pictures = source.pictures(video, motions, self._driving(source, request, motions[0].face))
            return _write(pictures, video.expected_frames, writer, (), progress)

    def _driving(self, source: SourceVideo, request: AnimateRequest, face: Face) -> Sequence[DriverMotion]:
        driving = request.driving
        if driving is None:
            return template_motions(self._template(request), face)
        return source.driving_motions(driving) if is_video(driving) else [self._still_motion(driving)]

    def _still_motion(self, driving: Path) -> DriverMotion:
        picture = read_source(driving)
        face, _ = choose_face(picture, find_faces(picture, self.models))
        [motion] = self.animator.read_motion([DrivingFrame(picture, face)])
        assert isinstance(motion, DriverMotion)
        return motion

    def _template(self, request: AnimateRequest) -> MotionTemplate:
        assert request.motion is not None
        template = load_template(request.motion)
        retargets = self.options.eye_retargeting or self.options.lip_retargeting
        if retargets and (template.c_eyes is None or template.c_lip is None):
            raise TemplateError(
                f"{request.motion} has no eye and lip ratios; leave eye_retargeting and lip_retargeting off with it."
            )
        return template


def _from_picture(player: Player, driving: Path, request: AnimateRequest, progress: Progress) -> AnimateReport:
    """Animate a picture with a video, as any animator does, and save the motion if requested."""
    motions: list[Motion | None] = []
    report = animate(player, driving, request.output, progress, lambda frame: motions.append(frame.motion))
    if request.save_motion:
        with VideoReader(driving) as video:
            save_template(request.save_motion, to_template(motions, driving, float(video.rate)))
    return report


def to_template(motions: Sequence[Motion | None], driving: Path, fps: float) -> MotionTemplate:
    """Join the motions of the frames of `driving` into a template. Raise VideoError if no frame shows a face."""
    known = fill_gaps(motions, driving)
    joined = join([reframed(motion, known[0].box) for motion in known])
    ratios = [motion.ratios for motion in known if motion.ratios]
    return MotionTemplate(
        fps,
        scale=_array(joined.scale),
        R=_array(joined.rotation),
        exp=_array(joined.expression),
        t=_array(joined.translation),
        kp=_array(joined.keypoints),
        x_s=_array(joined.transformed()),
        c_eyes=_array(torch.cat([ratio.eyes for ratio in ratios])),
        c_lip=_array(torch.cat([ratio.lip for ratio in ratios])),
    )


def template_motions(template: MotionTemplate, face: Face) -> list[DriverMotion]:
    """Return a template's motions. Templates hold no landmarks: each gets `face`, which LivePortrait does not read."""
    motion = template.motion()
    return [
        DriverMotion(face, motion.frame(i), _ratios(template, i), NOWHERE, i / template.fps)
        for i in range(len(template))
    ]


def _ratios(template: MotionTemplate, index: int) -> Ratios | None:
    if template.c_eyes is None or template.c_lip is None:
        return None
    eyes, lip = (torch.from_numpy(values[index : index + 1]) for values in (template.c_eyes, template.c_lip))
    return Ratios(eyes, lip)


def _write(
    pictures: Iterable[tuple[Picture, int]],
    count: int | None,
    writer: VideoWriter,
    warnings: tuple[str, ...],
    progress: Progress,
) -> AnimateReport:
    watch, start, frames = Stopwatch(), time.perf_counter(), 0
    for picture, pts in watch.each("animate", pictures):
        with watch.stage("encode"):
            writer.write(picture, pts)
        frames += 1
        progress(frames, count)
    seconds = time.perf_counter() - start
    return AnimateReport(frames, 0, 0, seconds, frames / seconds, watch.percentiles(), warnings)


def _array(values: Tensor) -> Array:
    return np.asarray(values.numpy(), np.float32)
