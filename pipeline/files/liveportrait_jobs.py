"""What LivePortrait can do with files, beyond a video that drives a picture: recorded motion, a picture as driver, a
video as source. See `perform` first."""

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

from pipeline.core.animator import AnimateOptions, Cue, DrivingFrame, Motion, Picture, Progress, Reference
from pipeline.core.timing import Stopwatch
from pipeline.face.face import Face
from pipeline.face.find import find_faces
from pipeline.face.tracker import FaceTracker
from pipeline.files.animate import COMMENT, AnimateReport, Player, animate, is_video, read_source
from pipeline.files.source_video import SourceVideo, held
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
    """What `run.py animate` was told; one of `driving` and `motion` is given."""

    source: Path  # a picture or a video
    output: Path  # a video, or a picture where a picture drives a picture
    driving: Path | None = None  # a video or a picture
    motion: Path | None = None  # a template
    save_motion: Path | None = None  # where to write the template of a driving video


@dataclass(frozen=True)
class FileAnimator:
    """Does jobs. Raises PortraitError, VideoError or TemplateError, each one sentence."""

    animator: LivePortrait
    models: FaceModels
    options: AnimateOptions

    def perform(self, job: AnimateRequest, progress: Progress) -> AnimateReport:
        """Write the output, and say how it went."""
        if job.save_motion and (job.driving is None or not is_video(job.driving) or is_video(job.source)):
            raise TemplateError("--save-motion needs a video in --driving and a picture in --source; leave it out.")
        if is_video(job.source):
            return self._film(job, progress)
        portrait = self.animator.prepare(read_source(job.source))
        player = Player(self.animator, FaceTracker(self.models), portrait, self.options)
        if job.driving is None:
            return self._from_template(player, job, progress)
        if not is_video(job.driving):
            return self._picture(player, job.driving, job.output, progress)
        return _animate(player, job.driving, job, progress)

    def _from_template(self, player: Player, job: AnimateRequest, progress: Progress) -> AnimateReport:
        template, face = self._template(job), player.portrait.face
        motions = recorded(template, face)
        reference = Reference(motions[0], face.shape, face.pose, face.eye_ratio)
        cues = [Cue(player.portrait, self.options, motion, reference, 1.0) for motion in motions]
        rate = Fraction(template.fps).limit_denominator(1001)
        with VideoWriter(job.output, rate, 1 / rate, COMMENT) as writer:
            pictures = ((self.animator.animate([cue])[0], index) for index, cue in enumerate(cues))
            return _write(pictures, len(cues), writer, player.portrait.warnings, progress)

    def _picture(self, player: Player, driving: Path, output: Path, progress: Progress) -> AnimateReport:
        """A picture with the look of the face in another."""
        start = time.perf_counter()
        cue = Cue(player.portrait, self.options, self._still_motion(driving), None, 1.0)
        [picture] = self.animator.animate([cue])
        exif = Image.Exif()
        exif[0x010E] = COMMENT  # ImageDescription
        try:
            Image.fromarray(picture).save(output, exif=exif)
        except (OSError, ValueError) as error:
            raise VideoError(
                f"{output} cannot be written ({error}); a picture drives a picture: name the output .png or .jpg."
            ) from error
        progress(1, 1)
        seconds = time.perf_counter() - start
        return AnimateReport(1, 0, 0, seconds, 1 / seconds, {}, player.portrait.warnings)

    def _film(self, job: AnimateRequest, progress: Progress) -> AnimateReport:
        film = SourceVideo(self.animator, FaceTracker(self.models), self.options)
        shown = film.source_motions(job.source)
        sound = job.driving if job.driving and is_video(job.driving) else job.source
        with (
            VideoReader(job.source) as video,
            VideoWriter(job.output, video.rate, video.time_base, COMMENT, audio_from=sound) as writer,
        ):
            pictures = film.pictures(video, shown, self._driving(film, job, shown[0].face))
            return _write(pictures, video.expected_frames, writer, (), progress)

    def _driving(self, film: SourceVideo, job: AnimateRequest, face: Face) -> Sequence[DriverMotion]:
        if job.driving is None:
            return recorded(self._template(job), face)
        return film.driving_motions(job.driving) if is_video(job.driving) else [self._still_motion(job.driving)]

    def _still_motion(self, driving: Path) -> DriverMotion:
        picture = read_source(driving)
        face, _ = choose_face(picture, find_faces(picture, self.models))
        [motion] = self.animator.read_motion([DrivingFrame(picture, face)])
        assert isinstance(motion, DriverMotion)
        return motion

    def _template(self, job: AnimateRequest) -> MotionTemplate:
        assert job.motion is not None
        template = load_template(job.motion)
        retargets = self.options.eye_retargeting or self.options.lip_retargeting
        if retargets and (template.c_eyes is None or template.c_lip is None):
            raise TemplateError(
                f"{job.motion} has no eye and lip ratios; leave eye_retargeting and lip_retargeting off with it."
            )
        return template


def _animate(player: Player, driving: Path, job: AnimateRequest, progress: Progress) -> AnimateReport:
    """A video drives a picture, as with any animator; its motion may be kept."""
    motions: list[Motion | None] = []
    report = animate(player, driving, job.output, progress, lambda played: motions.append(played.motion))
    if job.save_motion:
        with VideoReader(driving) as video:
            save_template(job.save_motion, record(motions, driving, float(video.rate)))
    return report


def record(motions: Sequence[Motion | None], driving: Path, fps: float) -> MotionTemplate:
    """The motion read from each frame of the video `driving`, as a template; VideoError where no face was in it."""
    known = held([motion if isinstance(motion, DriverMotion) else None for motion in motions], driving)
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


def recorded(template: MotionTemplate, face: Face) -> list[DriverMotion]:
    """A template's frames as motions. It knows no landmarks; `face`, at which LivePortrait never looks, stands in."""
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
