"""The square of the source picture that is shown, and its texture with a margin around it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Picture
from pipeline.face.face import Face

CROP = 2.35  # side of the square in face sizes
LEAST_CROP = 1.25
LOOK_UP = 0.08  # room above the face, in sides
MARGIN = 96 / 512  # of the side, on each side of the square: what motion may pull into view
FINEST = 1.4  # texture pixels per output pixel; more aliases under bilinear sampling


@dataclass(frozen=True)
class Crop:
    """A square of whole source pixels, shown at `size` x `size`: the canvas. Texture pixels cover it and the margin."""

    left: int
    top: int
    side: int
    size: int

    @property
    def scale(self) -> float:
        """Canvas pixels per source pixel."""
        return self.size / self.side

    @property
    def margin(self) -> int:
        """Source pixels around the square."""
        return round(self.side * MARGIN)

    @property
    def texture_size(self) -> int:
        return round((self.side + 2 * self.margin) * self.scale * float(np.clip(1 / self.scale, 1.0, FINEST)))

    def to_canvas(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Source pixels (n, 2 or 3) to canvas pixels; depth is only scaled."""
        moved = points.astype(np.float32, copy=True)
        moved[:, :2] -= (self.left, self.top)
        return moved * np.float32(self.scale)

    @property
    def texels(self) -> float:
        """Texture pixels per canvas pixel, exactly."""
        return self.texture_size / (self.side + 2 * self.margin) / self.scale

    def to_texture(self, canvas: NDArray[np.float32]) -> NDArray[np.float32]:
        """Canvas pixels (n, 2) to texture coordinates in which the centre of pixel i is at i (as cv2.remap wants)."""
        return ((canvas + self.margin * self.scale) * self.texels - 0.5).astype(np.float32)

    def from_texture(self, texture: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `to_texture`."""
        return ((texture + 0.5) / self.texels - self.margin * self.scale).astype(np.float32)


def crop_around(picture: Picture, face: Face, size: int) -> Crop:
    """The square around a face: moved inside the picture, and no larger than it where the face allows."""
    points = face.landmarks[:468, :2]
    low, high = points.min(0), points.max(0)
    height, width = picture.shape[:2]
    face_size = float((high - low).max())
    side = CROP * face_size
    if min(width, height) > LEAST_CROP * face_size:
        side = min(side, min(width, height))
    centre = (low + high) / 2 - (0, LOOK_UP * side)
    left, top = (_inside(centre[axis] - side / 2, side, (width, height)[axis]) for axis in (0, 1))
    return Crop(left, top, max(8, round(side)), size)


def _inside(start: float, side: float, length: int) -> int:
    room = length - side
    return round(float(np.clip(start, 0, room)) if room >= 0 else float(np.clip(start, room, 0)))


def texture(picture: Picture, crop: Crop) -> Picture:
    """The crop and its margin, (texture_size, texture_size, 3); the picture's border is continued where it ends."""
    start = np.array([crop.left, crop.top]) - crop.margin
    side = crop.side + 2 * crop.margin
    columns = np.clip(np.arange(start[0], start[0] + side), 0, picture.shape[1] - 1)
    rows = np.clip(np.arange(start[1], start[1] + side), 0, picture.shape[0] - 1)
    region = picture[rows[:, None], columns[None]]
    n = crop.texture_size
    how = cv2.INTER_AREA if n < side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(region, (n, n), interpolation=how), np.uint8)
