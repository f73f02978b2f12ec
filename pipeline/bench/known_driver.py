"""A portrait and a driver for measurements: nothing has to be found, so that no face model is needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.core.animator import Animator, Cue, DrivingFrame, Motion, Picture, Planes, Portrait, Reference
from pipeline.core.options import AnimateOptions
from pipeline.face import groups
from pipeline.face.canonical import VERTICES
from pipeline.face.face import Face
from pipeline.face.pose import HeadPose, rotation_from_euler
from pipeline.imaging.i420 import to_picture, to_planes
from pipeline.imaging.source_picture import default_portrait, read_picture
from pipeline.models.face_models import FaceModels

PLACE = np.array([224.8, 115.3, 25.3], np.float32)
POSE = HeadPose(rotation_from_euler(0.9, 8.7, 3.2), 6.45, PLACE)  # of the built-in portrait, as the tracker finds it
CAMERA = (640, 480)  # pixels
ZOOM, APPROACH, TURN = 1.4, 0.1, 6.0  # of the portrait in the camera's picture; part of it; degrees to each side
LOOP = 32  # frames
NO_MODELS = FaceModels(*[Path()] * 5)  # of animators whose faces are known
FPS = 30
IRISES = ((groups.RIGHT_EYE_UPPER, groups.RIGHT_EYE_LOWER), (groups.LEFT_EYE_UPPER, groups.LEFT_EYE_LOWER))


@dataclass(frozen=True, eq=False)
class DrivenPortrait:
    """A portrait that follows the driver, in whole pictures as sessions show them."""

    portrait: Portrait
    reference: Reference

    def cue(self, motion: Motion | None) -> Cue:
        """The portrait as this motion moves it; without one it is at rest."""
        return Cue(self.portrait, AnimateOptions(), motion, self.reference, blend=1.0)

    def perform(self, animator: Animator, frame: DrivingFrame) -> Picture | Planes:
        """What a session does with a frame in which the face is known; in planes, as encoders want it."""
        [motion] = animator.read_motion([frame])
        return animator.animate([self.cue(motion)], "i420")[0]


def picture_and_face() -> tuple[Picture, Face]:
    """The built-in portrait, and a mean face where its face is."""
    irises = [np.repeat(VERTICES[[*upper, *lower]].mean(0, keepdims=True), 5, 0) for upper, lower in IRISES]
    return read_picture(default_portrait()), Face(POSE.to_picture(np.concatenate([VERTICES, *irises])), 1.0)


def driving_frames() -> Iterator[DrivingFrame]:
    """A loop of the driver's frames: the portrait before a camera, its head tilting and coming nearer."""
    picture, face = picture_and_face()
    for number in range(LOOP):
        phase = 2 * math.pi * number / LOOP
        angle, zoom = TURN * math.sin(phase), ZOOM * (1 + APPROACH * math.sin(2 * phase))
        matrix = cv2.getRotationMatrix2D(PLACE[:2].tolist(), angle, zoom)
        matrix[:, 2] += np.array(CAMERA) / 2 - PLACE[:2]
        planes = to_planes(cv2.warpAffine(picture, matrix, CAMERA, borderMode=cv2.BORDER_REPLICATE))
        yield DrivingFrame(to_picture(planes), _moved(face, matrix), number / FPS, None, planes)


def driven_portrait(animator: Animator, portrait: Portrait) -> DrivenPortrait:
    """With the driver's first frame as the neutral."""
    frame = next(driving_frames())
    [neutral] = animator.read_motion([frame])
    assert neutral is not None  # the frame has a face
    face = neutral.face
    return DrivenPortrait(portrait, Reference(neutral, face.shape, face.pose, face.eye_ratio))


def _moved(face: Face, matrix: np.ndarray) -> Face:
    """As `matrix` (2, 3) moves pixels, whose centres are at whole numbers for OpenCV and at halves in a Face."""
    flat = (face.landmarks[:, :2] - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    deep = face.landmarks[:, 2:] * np.linalg.norm(matrix[:, 0])
    return Face(np.concatenate((flat, deep), 1).astype(np.float32), face.score)
