"""A portrait and a driver whose faces are known, so that measurements need no face model."""

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
ZOOM, APPROACH, TURN = 1.4, 0.1, 6.0  # of the portrait in the camera's picture; share of it; degrees
LOOP = 32  # frames
NO_MODELS = FaceModels(*[Path()] * 5)  # of animators whose faces are known
FPS = 30
IRISES = ((groups.RIGHT_EYE_UPPER, groups.RIGHT_EYE_LOWER), (groups.LEFT_EYE_UPPER, groups.LEFT_EYE_LOWER))


@dataclass(frozen=True, eq=False)
class DrivenPortrait:
    """A portrait that follows a driver, in whole pictures as sessions show them."""

    portrait: Portrait
    reference: Reference

    def cue(self, motion: Motion | None) -> Cue:
        """Return the cue for the portrait moved by `motion`, or at rest without one."""
        return Cue(self.portrait, AnimateOptions(), motion, self.reference, blend=1.0)

    def perform(self, animator: Animator, frame: DrivingFrame) -> Picture | Planes:
        """Do what a session does with a frame whose face is known, and return I420 planes for an encoder."""
        [motion] = animator.read_motion([frame])
        return animator.animate([self.cue(motion)], "i420")[0]


def picture_and_face() -> tuple[Picture, Face]:
    """Return the built-in portrait, with a mean face where its face is."""
    irises = [np.repeat(VERTICES[[*upper, *lower]].mean(0, keepdims=True), 5, 0) for upper, lower in IRISES]
    return read_picture(default_portrait()), Face(POSE.to_picture(np.concatenate([VERTICES, *irises])), 1.0)


def driving_frames() -> Iterator[DrivingFrame]:
    """Yield a loop of the driver's frames: the portrait before a camera, tilting its head and coming nearer."""
    picture, face = picture_and_face()
    for number in range(LOOP):
        phase = 2 * math.pi * number / LOOP
        angle, zoom = TURN * math.sin(phase), ZOOM * (1 + APPROACH * math.sin(2 * phase))
        matrix = cv2.getRotationMatrix2D(PLACE[:2].tolist(), angle, zoom)
        matrix[:, 2] += np.array(CAMERA) / 2 - PLACE[:2]
        planes = to_planes(cv2.warpAffine(picture, matrix, CAMERA, borderMode=cv2.BORDER_REPLICATE))
        yield DrivingFrame(to_picture(planes), _moved(face, matrix), number / FPS, None, planes)


def driven_portrait(animator: Animator, portrait: Portrait) -> DrivenPortrait:
    """Return a portrait whose reference (neutral) is the driver's first frame."""
    frame = next(driving_frames())
    [neutral] = animator.read_motion([frame])
    assert neutral is not None  # the frame has a face
    face = neutral.face
    return DrivenPortrait(portrait, Reference(neutral, face.shape, face.pose, face.eye_ratio))


def _moved(face: Face, matrix: np.ndarray) -> Face:
    """Return the face as `matrix` (2, 3) moves pixels; OpenCV puts pixel centres at whole numbers, a Face at halves."""
    flat = (face.landmarks[:, :2] - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    deep = face.landmarks[:, 2:] * np.linalg.norm(matrix[:, 0])
    return Face(np.concatenate((flat, deep), 1).astype(np.float32), face.score)
