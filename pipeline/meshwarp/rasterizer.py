"""Draw triangles with interpolated vertex values and a z-buffer, by OpenCV's compiled rasterizer."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# OpenCV's camera is a pinhole; from this far away (in pixels) its projection is almost parallel.
DISTANCE = 100_000.0
NEAR, FAR = 0.5 * DISTANCE, 2 * DISTANCE

_SETTINGS = cv2.TriangleRasterizeSettings()
_SETTINGS.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
_SETTINGS.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
_CAMERA = np.eye(4, dtype=np.float32)
_FIELD = float(np.pi / 2)


@dataclass(frozen=True)
class Window:
    """A rectangle of whole pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return the window's rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def fixed_point(self, points: Array) -> NDArray[np.int32]:
        """Convert pixel indices (n, 2) of the picture to 1/16 pixels of the window, as OpenCV draws with `shift` 4."""
        return np.round((points - (self.left, self.top)) * 16).astype(np.int32)

    def polygon(self, points: Array) -> NDArray[np.uint8]:
        """Fill the polygon of pixel indices (n, 2) in a mask of the window, 0..255, with smooth edges."""
        mask = np.zeros((self.height, self.width), np.uint8)
        cv2.fillPoly(mask, [self.fixed_point(points)], 255, cv2.LINE_AA, 4)
        return mask


def around(points: Array, size: int, border: float = 0.0) -> Window:
    """Return the window of a (size, size) picture around (n, 2) points and a border; at least one pixel."""
    low = np.clip(np.floor(points.min(0) - border), 0, size - 1).astype(int)
    high = np.clip(np.ceil(points.max(0) + border), low + 1, size).astype(int)
    return Window(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))


def rasterize(
    points: Array, triangles: NDArray[np.int32], values: Array, window: Window, picture: Array, step: int = 1
) -> None:
    """Draw `values` (n, 3), interpolated at pixel centres, into `picture` (window's height / step, width / step, 3).

    `points` (n, 3) are in pixels; the smallest z is in front. Each block of step x step pixels is sampled once, at its
    centre. Pixels that no triangle covers keep their value, as may one whose centre lies exactly on an edge.
    """
    height, width = picture.shape[:2]
    half = height / 2
    depth = DISTANCE + points[:, 2]
    seen = np.empty_like(points)
    seen[:, 0] = ((points[:, 0] - window.left) / step - width / 2) / half * depth
    seen[:, 1] = (half - (points[:, 1] - window.top) / step) / half * depth
    seen[:, 2] = -depth
    buffer = np.full((height, width), FAR, np.float32)
    cv2.triangleRasterize(seen, triangles, values, picture, buffer, _CAMERA, _FIELD, NEAR, FAR, _SETTINGS)
