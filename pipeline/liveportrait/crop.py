"""Find and cut LivePortrait's crops. In float64; the centres of pixels are at whole numbers, as in OpenCV."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Picture
from pipeline.liveportrait.landmarks import Outline

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
"""(3, 3), maps homogeneous pixel coordinates of one picture to those of another."""

CROP_SIZE = 512


@dataclass(frozen=True)
class CropRule:
    """How large a crop is and where it lies around a face."""

    scale: float  # side of the crop / larger extent of the landmarks
    lift: float  # how far the centre moves down the face, as a share of the side
    upright: bool  # whether the crop turns with the head


SOURCE = CropRule(2.3, -0.125, True)
DRIVING = CropRule(2.2, -0.1, False)


@dataclass(frozen=True, eq=False)
class Box:
    """A square in a picture."""

    centre: Vector  # (2,) pixels
    side: float  # pixels
    angle: float = 0.0  # radians: the direction of its top edge

    def matrix(self, size: int = CROP_SIZE) -> Matrix:
        """Return the map from the picture to a crop of `size` x `size` pixels."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        turn = size / self.side * np.array([[cos, sin], [-sin, cos]])
        shift = size / 2 - turn @ self.centre
        return np.vstack((np.column_stack((turn, shift)), (0, 0, 1)))


def face_box(outline: Outline, rule: CropRule) -> Box:
    """Return the square around a face."""
    down = outline.mouth - outline.eyes
    length = float(np.linalg.norm(down))
    down = down / length if length > 1e-3 else np.array([0.0, 1.0])
    across = np.array([down[1], -down[0]])
    axes = np.stack((across, down))
    along = outline.points @ axes.T
    low, high = along.min(0), along.max(0)
    side = float((high - low).max() * rule.scale)
    centre = ((low + high) / 2 + (0, rule.lift * side)) @ axes
    return Box(centre, side, math.atan2(across[1], across[0]) if rule.upright else 0.0)


STILL_SHIFT = 0.12  # of the side: a face may move so far before the driving crop follows
STILL_ZOOM = math.log(1.2)  # and grow or shrink so much
LOST_SHIFT, LOST_ZOOM = 0.5, math.log(2.0)  # beyond these the crop jumps to the face
FOLLOW_SECONDS = 0.5


def follow(held: Box | None, wanted: Box, seconds: float) -> Box:
    """Return the driving crop `seconds` after it was `held`: steady while the face stays near, else following it.

    Each frame's own box would wobble with the landmarks, and the portrait's shoulders with it. If the crop moves,
    `placement` and `keypoint_motion.reframe` take that out of the motion again.
    """
    if held is None:
        return wanted
    shift = (wanted.centre - held.centre) / held.side
    distance, zoom = float(np.linalg.norm(shift)), math.log(wanted.side / held.side)
    if distance > LOST_SHIFT or abs(zoom) > LOST_ZOOM:
        return wanted
    share = 1 - math.exp(-seconds / FOLLOW_SECONDS)
    move = share * max(0.0, 1 - STILL_SHIFT / max(distance, STILL_SHIFT)) * shift * held.side
    grow = share * math.copysign(max(0.0, abs(zoom) - STILL_ZOOM), zoom)
    return Box(held.centre + move, held.side * math.exp(grow), held.angle)


def placement(box: Box, frame: Box) -> tuple[Vector, float]:
    """Return the centre of `box` in half sides of `frame`, (2,), and its relative size; both are upright."""
    return 2 * (box.centre - frame.centre) / frame.side, box.side / frame.side


def cut(picture: Picture, matrix: Matrix, size: int = CROP_SIZE) -> Picture:
    """Cut out the crop (size, size, 3): bilinear, black outside the picture."""
    return np.asarray(cv2.warpAffine(picture, matrix[:2], (size, size), flags=cv2.INTER_LINEAR), np.uint8)


def halved(crop: Picture) -> Picture:
    """Halve a crop for the networks: the rounded mean of every 2x2 pixels."""
    return np.asarray(cv2.resize(crop, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def fitted(picture: Picture, longest: int = 1280) -> Picture:
    """Reduce a source picture to at most `longest` pixels, with even sides."""
    height, width = picture.shape[:2]
    if max(height, width) > longest:
        factor = longest / max(height, width)
        size = int(width * factor), int(height * factor)
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
