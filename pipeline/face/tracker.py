"""Follow one driver's face over time."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.face.detector import FaceDetector
from pipeline.face.face import Face
from pipeline.face.landmarks import FaceMesh
from pipeline.face.one_euro import OneEuroFilter
from pipeline.face.region import Region, around_landmarks
from pipeline.models.face_models import FaceModels

COUNT_SECONDS = 2.0  # between counts of the faces in the picture: each takes 1.4 ms


class FaceTracker:
    """Follows one driver's face. The detectors run only while no face is followed. Not thread-safe."""

    def __init__(self, models: FaceModels) -> None:
        self._detectors = (FaceDetector(models), FaceDetector(models, far=True))
        self._mesh = FaceMesh(models)
        self._filter = OneEuroFilter(min_cutoff=2.0, beta=40.0, speed_cutoff=1.0)
        self._region: Region | None = None
        self._counted = -COUNT_SECONDS
        self.detections = 0  # pictures that the detectors searched
        self.faces = 0  # near faces in the picture at the last count

    def reset(self) -> None:
        """Forget the face: the next picture is searched for the biggest one."""
        self._region = None
        self._filter.reset()

    def track(self, picture: NDArray[np.uint8], time: float, smoothing: float = 0.5) -> Face | None:
        """Return the driver's face in an RGB picture taken at `time` (seconds), or None.

        `smoothing` 0 gives the raw landmarks, 1 the steadiest, which lag most.
        """
        if time - self._counted >= COUNT_SECONDS:
            self._counted, self.faces = time, len(self._detectors[0].detect(picture))
        face = self._held(picture) or self._acquired(picture)
        if face is None:
            return None
        self._region = around_landmarks(face.landmarks)
        return self._smoothed(face, time, smoothing)

    def _held(self, picture: NDArray[np.uint8]) -> Face | None:
        face = self._mesh.read(picture, self._region) if self._region else None
        if face is None:
            self.reset()
        return face

    def _acquired(self, picture: NDArray[np.uint8]) -> Face | None:
        self.detections += 1
        found = (detection for detector in self._detectors for detection in detector.detect(picture))
        faces = (self._mesh.acquire(picture, detection.region) for detection in found)
        return next((face for face in faces if face), None)

    def _smoothed(self, face: Face, time: float, smoothing: float) -> Face:
        if smoothing == 0:
            self._filter.reset()
            return face
        gain = (0.5 / smoothing) ** 2  # 1 in the middle; unbounded towards 0, so that 0 is no step
        return dataclasses.replace(face, landmarks=self._filter(face.landmarks, time, face.height, gain))
