"""The square of a picture that a face network reads: its geometry and its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MARGIN = 1.5  # side of the square over the long side of the face's box


@dataclass(frozen=True)
class Region:
    """A rotated square. Coordinates are continuous: pixel i of a picture covers [i, i + 1)."""

    x: float  # centre, pixels
    y: float
    side: float  # pixels
    angle: float  # radians, clockwise in the picture

    def to_picture(self, size: int) -> NDArray[np.float32]:
        """Return the (2, 3) map from coordinates in a crop of `size` pixels to those in the picture."""
        scale = self.side / size
        cos, sin = scale * math.cos(self.angle), scale * math.sin(self.angle)
        half = size / 2
        x, y = self.x - (cos - sin) * half, self.y - (sin + cos) * half
        return np.array([[cos, -sin, x], [sin, cos, y]], np.float32)

    def crop(self, picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """Cut the square out of a picture: (size, size, 3) uint8, bilinear, the border replicated."""
        shrink = min(int(self.side / size / 2), *picture.shape[:2])
        if shrink >= 2:  # bilinear alone would alias: average first
            return self.scaled(1 / shrink).crop(_averaged(picture, shrink), size)
        return resample(picture, self.to_picture(size), size, size)

    def moved(self, x: float, y: float) -> Region:
        """Return the square `x` pixels further right and `y` further down."""
        return Region(self.x + x, self.y + y, self.side, self.angle)

    def scaled(self, factor: float) -> Region:
        """Return the same square in a picture of `factor` times the size."""
        return Region(self.x * factor, self.y * factor, self.side * factor, self.angle)


def resample(picture: NDArray[np.uint8], to_picture: NDArray[Any], width: int, height: int) -> NDArray[np.uint8]:
    """Cut out (height, width, 3), bilinear, border repeated; `to_picture` (2, 3) maps its pixels to the picture."""
    matrix = to_picture.copy()
    matrix[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5  # OpenCV's pixel i has its centre at i, ours at i + 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(picture, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return crop.astype(np.uint8, copy=False)


def _averaged(picture: NDArray[np.uint8], shrink: int) -> NDArray[np.uint8]:
    """Average squares of `shrink` pixels; incomplete ones at the right and bottom are left out."""
    height, width = (length // shrink for length in picture.shape[:2])
    whole = picture[: height * shrink, : width * shrink]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def around_landmarks(landmarks: NDArray[np.float32]) -> Region:
    """Return the square around (468 or more, 3) landmarks, rotated with the line between the outer eye corners."""
    points = landmarks[:468, :2]
    dx, dy = points[263] - points[33]
    angle = math.atan2(dy, dx)
    cos, sin = math.cos(angle), math.sin(angle)
    upright = points @ np.array([[cos, -sin], [sin, cos]], np.float32)
    low, high = upright.min(0), upright.max(0)
    x, y = (low + high) / 2
    return Region(float(cos * x - sin * y), float(sin * x + cos * y), MARGIN * float((high - low).max()), angle)
