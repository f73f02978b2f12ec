"""Crop the source picture to the square that is shown, and make its texture with a margin around the square."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Picture
from pipeline.face.face import Face

CROP = 2.35  # side of the square in face sizes
LEAST_CROP = 1.25  # face sizes; a smaller picture is continued beyond its border
LOOK_UP = 0.08  # upward shift of the square, as a share of its side
MARGIN = 96 / 512  # margin on each side, as a share of the square's side: motion may pull it into view
FINEST = 1.4  # texture pixels per output pixel; a finer texture aliases under bilinear sampling


@dataclass(frozen=True)
class Crop:
    """A square of whole source pixels, shown as the canvas of `size` x `size`; the texture covers it and the margin."""

    left: int
    top: int
    side: int
    size: int

    @property
    def scale(self) -> float:
        """Return canvas pixels per source pixel."""
        return self.size / self.side

    @property
    def margin(self) -> int:
        """Return the margin's width in source pixels."""
        return round(self.side * MARGIN)

    @property
    def texture_size(self) -> int:
        return round((self.side + 2 * self.margin) * self.scale * float(np.clip(1 / self.scale, 1.0, FINEST)))

    def to_canvas(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert source pixels (n, 2 or 3) to canvas pixels; depth is only scaled."""
        moved = points.astype(np.float32, copy=True)
        moved[:, :2] -= (self.left, self.top)
        return moved * np.float32(self.scale)

    @property
    def texels(self) -> float:
        """Return texture pixels per canvas pixel."""
        return self.texture_size / (self.side + 2 * self.margin) / self.scale

    def to_texture(self, canvas: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert canvas pixels (n, 2) to texture coordinates; pixel i has its centre at i, as in cv2.remap."""
        return ((canvas + self.margin * self.scale) * self.texels - 0.5).astype(np.float32)

    def from_texture(self, texture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Invert `to_texture`."""
        return ((texture + 0.5) / self.texels - self.margin * self.scale).astype(np.float32)


def crop_around(picture: Picture, face: Face, size: int) -> Crop:
    """Return the square around a face, moved inside the picture and no larger than it if the face allows that."""
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
    """Cut out the crop and its margin, (texture_size, texture_size, 3), repeating the picture's border outside it."""
    start = np.array([crop.left, crop.top]) - crop.margin
    side = crop.side + 2 * crop.margin
    columns = np.clip(np.arange(start[0], start[0] + side), 0, picture.shape[1] - 1)
    rows = np.clip(np.arange(start[1], start[1] + side), 0, picture.shape[0] - 1)
    region = picture[rows[:, None], columns[None]]
    n = crop.texture_size
    how = cv2.INTER_AREA if n < side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(region, (n, n), interpolation=how), np.uint8)


def sample(picture: NDArray[np.uint8], places: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the colours (h, w, n) at pixel indices `places` (h, w, 2), bilinear, with the border repeated."""
    return cv2.remap(picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
