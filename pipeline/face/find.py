"""Find the faces in a still picture, including small ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.face import groups
from pipeline.face.detector import FaceDetector
from pipeline.face.face import Face
from pipeline.face.landmarks import FaceMesh
from pipeline.face.region import Region
from pipeline.models.face_models import FaceModels

ZOOMS = (1, 2, 4)  # the detectors see faces down to a tenth of the side of the picture or tile
SMALLEST_WIDTH = 24  # pixels; smaller faces give unreliable landmarks


def find_faces(picture: NDArray[np.uint8], models: FaceModels) -> list[Face]:
    """Return the faces in a still RGB picture (height, width, 3), the biggest first.

    Small ones, down to a fortieth of the picture's side, are searched for only if there are no bigger ones.
    """
    detectors, mesh = (FaceDetector(models), FaceDetector(models, far=True)), FaceMesh(models)
    for zoom in ZOOMS:
        regions = (region for detector in detectors for region in _regions(picture, detector, zoom))
        found = (mesh.acquire(picture, region) for region in regions)
        if faces := distinct([face for face in found if face and face.width >= SMALLEST_WIDTH]):
            return faces
    return []


def _regions(picture: NDArray[np.uint8], detector: FaceDetector, zoom: int) -> Iterator[Region]:
    for left, top, side in tiles(picture.shape[1], picture.shape[0], zoom):
        for detection in detector.detect(picture[top : top + side, left : left + side]):
            yield detection.region.moved(left, top)


def tiles(width: int, height: int, zoom: int) -> list[tuple[int, int, int]]:
    """Return (left, top, side) of half overlapping squares that cover a picture, `zoom` times smaller than it."""
    side = -(-max(width, height) // zoom)
    return [(left, top, side) for top in _starts(height, side) for left in _starts(width, side)]


def _starts(length: int, side: int) -> list[int]:
    steps = max(0, -(-2 * (length - side) // side))  # as few as possible, each at most half a side
    return [round(i * (length - side) / steps) for i in range(steps + 1)] if steps else [0]


def distinct(faces: list[Face]) -> list[Face]:
    """Drop faces whose nose tip is within half a width of an earlier one's; return the rest, the biggest first."""
    kept: list[Face] = []
    for face in faces:
        noses = [np.linalg.norm(face.landmarks[groups.NOSE_TIP] - other.landmarks[groups.NOSE_TIP]) for other in kept]
        if all(distance > other.width / 2 for distance, other in zip(noses, kept, strict=True)):
            kept.append(face)
    return sorted(kept, key=lambda face: face.width, reverse=True)
