"""BlazeFace finds the faces in a picture. Bazarevsky et al. 2019, arXiv:1907.05047."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.face.litert import LiteRtModel
from pipeline.face.region import MARGIN, Region
from pipeline.models.face_models import FaceModels

Array = NDArray[np.float32]

SCORE_THRESHOLD = 0.5
OVERLAP_THRESHOLD = 0.3  # boxes with a larger intersection over union are the same face


@dataclass(frozen=True, eq=False)
class Detection:
    """One face found by the detector."""

    score: float  # 0..1
    box: Array  # (4,) left, top, right, bottom in pixels
    points: Array  # (6, 2) pixels: right eye, left eye, nose tip, mouth, right ear, left ear (the subject's right)

    @property
    def area(self) -> float:
        """Return the area of the box in square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))

    @property
    def region(self) -> Region:
        """Return the square for the landmark network, rotated with the line between the eyes."""
        left, top, right, bottom = map(float, self.box)
        dx, dy = self.points[1] - self.points[0]
        side = MARGIN * max(right - left, bottom - top)
        return Region((left + right) / 2, (top + bottom) / 2, side, math.atan2(dy, dx))


class FaceDetector:
    """Finds near faces in 1.4 ms; with `far` also small ones, down to about 20 pixels in a 640x480 picture."""

    def __init__(self, models: FaceModels, far: bool = False) -> None:
        self._network = LiteRtModel(models.full_range if far else models.short_range)
        self._size = 192 if far else 128
        self._input = "input_1" if far else "input"
        self._outputs = ("Identity", "Identity_1") if far else ("regressors", "classificators")
        self._anchors = _anchors(48, 1) if far else np.concatenate([_anchors(16, 2), _anchors(8, 6)])

    def detect(self, picture: NDArray[np.uint8]) -> list[Detection]:
        """Return the faces in an RGB picture (height, width, 3), the biggest first."""
        height, width = picture.shape[:2]
        side = max(height, width)
        corner = np.array([(side - width) / 2, (side - height) / 2], np.float32)
        outputs = self._network(**{self._input: _letterbox(picture, self._size)})
        raw, logits = (outputs[name][0] for name in self._outputs)
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))
        sure = scores >= SCORE_THRESHOLD
        boxes, points = decode(raw[sure] / self._size, self._anchors[sure])
        found = merge(boxes * side - np.tile(corner, 2), points * side - corner, scores[sure])
        return sorted(found, key=lambda detection: detection.area, reverse=True)


def _anchors(cells: int, repeat: int) -> Array:
    """Return the centres of the cells, row by row: (cells * cells * repeat, 2) in 0..1."""
    centres = (np.arange(cells, dtype=np.float32) + 0.5) / cells
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return np.repeat(np.stack([x, y], -1).reshape(-1, 2), repeat, axis=0)


def _letterbox(picture: NDArray[np.uint8], size: int) -> Array:
    """Fit the whole picture into the middle of a square: (1, size, size, 3) float32 in -1..1, padded with 0."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    small_width, small_height = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, (small_width, small_height), interpolation=cv2.INTER_AREA)
    square = np.zeros((1, size, size, 3), np.float32)
    left, top = (size - small_width) // 2, (size - small_height) // 2
    square[0, top : top + small_height, left : left + small_width] = small * np.float32(1 / 127.5) - 1
    return square


def decode(raw: Array, anchors: Array) -> tuple[Array, Array]:
    """Convert regressors (n, 16) and anchors (n, 2) to boxes (n, 4) xyxy and points (n, 6, 2); 0..1 is the square."""
    centre, size = raw[:, :2] + anchors, raw[:, 2:4]
    boxes = np.concatenate([centre - size / 2, centre + size / 2], 1)
    return boxes, raw[:, 4:].reshape(-1, 6, 2) + anchors[:, None]


def merge(boxes: Array, points: Array, scores: Array) -> list[Detection]:
    """Replace each group of overlapping boxes by its mean, weighted by score (weighted non-maximum suppression)."""
    found: list[Detection] = []
    left = np.argsort(-scores)
    while len(left):
        best = left[0]
        same = overlaps(boxes[best], boxes[left]) > OVERLAP_THRESHOLD
        same[0] = True  # also where the box is empty
        group, left = left[same], left[~same]
        weights = scores[group] / scores[group].sum()
        found.append(Detection(float(scores[best]), weights @ boxes[group], np.tensordot(weights, points[group], 1)))
    return found


def overlaps(box: Array, boxes: Array) -> Array:
    """Return the intersection over union (n,) in 0..1 of `box` (4,) with each of `boxes` (n, 4), xyxy."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    ratio: Array = shared / np.maximum(area - shared, 1e-9)
    return ratio
