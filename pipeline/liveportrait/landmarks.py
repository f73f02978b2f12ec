"""Derive from a face's landmarks what LivePortrait needs: an outline to crop around, and how open eyes and lips are.

The official pipeline crops around the 106 points of a non-commercial model and takes the ratios from a network of 203
points. Here both come from the attention mesh, from points with the same meaning. Nothing was fitted; with the
official constants unchanged,

- the outline (jaw from eye to eye, brows, tip of the nose) is that of the 106 points; crops of the example portraits
  show the whole head, its chin at five sixths of the height, as official ones do. The reference vectors' points are
  schematic (their width is 2.4 to 3.2 times the distance from eyes to mouth, a face's 2.0): they test the geometry,
  and cannot tell how large a real crop is;
- eye ratios of the example clips have their median at 0.31 and 90 % in 0.06..0.40, lip ratios 90 % in 0.00..0.61; the
  official templates' have 0.29, 0.20..0.35 and 0.00..0.24 in one clip, and 0.00..0.57 and 0.00..0.67 over all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.face import groups
from pipeline.face.face import Face

Points = NDArray[np.floating]

RIGHT_EYE, LEFT_EYE, LIPS = (33, 159, 133, 145), (362, 386, 263, 374), (61, 13, 291, 14)
"""Corner, upper middle, corner, lower middle; the subject's right is the picture's left."""

_JAW = groups.OVAL[groups.OVAL.index(356) : groups.OVAL.index(127) + 1]
OUTLINE = (*_JAW, *groups.RIGHT_BROW, *groups.LEFT_BROW, groups.NOSE_TIP)

REFERENCE_POINTS = {  # number of landmarks -> left eye, right eye, mouth, each the mean of these points
    203: ((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)),
    106: ((33, 35, 40, 39), (87, 89, 94, 93), (52, 61)),
    101: ((39, 42, 45, 48), (51, 54, 57, 60), (75, 81)),
    68: ((36, 39), (42, 45), (48, 54)),
    9: ((2, 3), (0, 1), (5, 6)),
    5: ((0,), (1,), (3, 4)),
}


@dataclass(frozen=True, eq=False)
class Outline:
    """The extent and the direction of a face."""

    points: NDArray[np.float64]  # (N, 2) pixels, the first pixel's centre at 0
    eyes: NDArray[np.float64]  # (2,) the middle between the eyes
    mouth: NDArray[np.float64]  # (2,)


def mesh_outline(face: Face) -> Outline:
    """Return the outline of a face of the attention mesh."""
    points = face.landmarks[:, :2].astype(np.float64) - 0.5
    return _outline(points, points[list(OUTLINE)], RIGHT_EYE, LEFT_EYE, LIPS[::2])


def outline(landmarks: Points) -> Outline:
    """Return the outline of landmarks (N, 2) of another model. Raise ValueError if no model with N points is known."""
    groups_of = REFERENCE_POINTS.get(len(landmarks))
    if groups_of is None:
        known = ", ".join(map(str, REFERENCE_POINTS))
        raise ValueError(f"{len(landmarks)} landmarks have no known order; known are {known}.")
    points = landmarks.astype(np.float64)
    return _outline(points, points, *groups_of)


def _outline(
    points: NDArray[np.float64],
    extent: NDArray[np.float64],
    left: tuple[int, ...],
    right: tuple[int, ...],
    mouth: tuple[int, ...],
) -> Outline:
    left_eye, right_eye, middle = (points[list(group)].mean(0) for group in (left, right, mouth))
    return Outline(extent, (left_eye + right_eye) / 2, middle)


def mesh_ratios(face: Face) -> tuple[float, float, float]:
    """Return the ratios of the picture's left eye, its right eye, and the lips: 0 closed, eyes about 0.35 open."""
    eyes = (_ratio(face.landmarks[:, :2], *group) for group in (RIGHT_EYE, LEFT_EYE))
    return (*eyes, _ratio(face.landmarks[:, :2], *LIPS))  # type: ignore[return-value]  # two eyes


def ratios_203(landmarks: Points) -> tuple[float, float, float]:
    """Return the same of the official model's 203 landmarks, (203, 2)."""
    return (
        _ratio(landmarks, 0, 6, 12, 18),
        _ratio(landmarks, 24, 30, 36, 42),
        _ratio(landmarks, 48, 90, 66, 102),
    )


def _ratio(points: Points, corner: int, upper: int, other: int, lower: int) -> float:
    gap, width = points[upper] - points[lower], points[corner] - points[other]
    return float(np.linalg.norm(gap) / (np.linalg.norm(width) + 1e-6))
