"""Derive from a face's landmarks what LivePortrait needs: an outline to crop around, and how open eyes and lips are.

The official pipeline crops around the 106 points of a non-commercial model and takes the ratios from a network of 203
points. Here both come from the attention mesh, from points with the same meaning: the outline is the jaw from eye to
eye, the brows and the tip of the nose. The official constants are unchanged. Eye ratios of the example clips have their
median at 0.31, those of the official templates at 0.29; lip ratios reach 0.6 in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.face import groups
from pipeline.face.face import Face

RIGHT_EYE, LEFT_EYE, LIPS = (33, 159, 133, 145), (362, 386, 263, 374), (61, 13, 291, 14)
"""Corner, upper middle, corner, lower middle; the subject's right is the picture's left."""

_JAW = groups.OVAL[groups.OVAL.index(356) : groups.OVAL.index(127) + 1]
OUTLINE = (*_JAW, *groups.RIGHT_BROW, *groups.LEFT_BROW, groups.NOSE_TIP)


@dataclass(frozen=True, eq=False)
class Outline:
    """The extent and the direction of a face."""

    points: NDArray[np.float64]  # (N, 2) pixels, the first pixel's centre at 0
    eyes: NDArray[np.float64]  # (2,) the middle between the eyes
    mouth: NDArray[np.float64]  # (2,)


def mesh_outline(face: Face) -> Outline:
    """Return the outline of a face of the attention mesh."""
    points = face.landmarks[:, :2].astype(np.float64) - 0.5
    left, right, mouth = (points[list(group)].mean(0) for group in (RIGHT_EYE, LEFT_EYE, LIPS[::2]))
    return Outline(points[list(OUTLINE)], (left + right) / 2, mouth)


def mesh_ratios(face: Face) -> tuple[float, float, float]:
    """Return the ratios of the picture's left eye, its right eye, and the lips: 0 closed, eyes about 0.35 open."""
    left, right, lips = (ratio(face.landmarks[:, :2], *group) for group in (RIGHT_EYE, LEFT_EYE, LIPS))
    return left, right, lips


def ratio(points: NDArray[np.floating], corner: int, upper: int, other: int, lower: int) -> float:
    """Return the distance from `upper` to `lower` over that between the corners, of points (N, 2) by index."""
    gap, width = points[upper] - points[lower], points[corner] - points[other]
    return float(np.linalg.norm(gap) / (np.linalg.norm(width) + 1e-6))
