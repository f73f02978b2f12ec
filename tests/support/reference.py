"""Parts of the official pipeline that only the reference vectors need."""

import itertools
import math
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.liveportrait.corrections import Ratios
from pipeline.liveportrait.crop import Box, Matrix
from pipeline.liveportrait.landmarks import Outline, ratio

Points = NDArray[np.floating]

CLOSED_EYES, OPEN_EYES = 0.18, 0.39  # a source video's eyes below the first count as closed, and open to the second

REFERENCE_POINTS = {  # number of landmarks -> left eye, right eye, mouth, each the mean of these points
    203: ((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)),
    106: ((33, 35, 40, 39), (87, 89, 94, 93), (52, 61)),
    101: ((39, 42, 45, 48), (51, 54, 57, 60), (75, 81)),
    68: ((36, 39), (42, 45), (48, 54)),
    9: ((2, 3), (0, 1), (5, 6)),
    5: ((0,), (1,), (3, 4)),
}


def outline(landmarks: Points) -> Outline:
    """Return the outline of landmarks (N, 2) of a model in REFERENCE_POINTS."""
    points = landmarks.astype(np.float64)
    left, right, mouth = (points[list(group)].mean(0) for group in REFERENCE_POINTS[len(landmarks)])
    return Outline(points, (left + right) / 2, mouth)


def ratios_203(landmarks: Points) -> tuple[float, float, float]:
    """Return the ratios of the left eye, the right eye and the lips, of the official model's landmarks (203, 2)."""
    groups = ((0, 6, 12, 18), (24, 30, 36, 42), (48, 90, 66, 102))
    left, right, lips = (ratio(landmarks, *group) for group in groups)
    return left, right, lips


def transform(points: Points, matrix: Matrix) -> NDArray[np.float64]:
    """Map points (N, 2) of one picture to the other."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def corners(box: Box) -> NDArray[np.float64]:
    """Return the corners (4, 2) of a box, clockwise from the top left."""
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * box.side / 2
    cos, sin = math.cos(box.angle), math.sin(box.angle)
    return box.centre + half @ np.array([[cos, sin], [-sin, cos]])


def eye_target(first: Ratios) -> Tensor:
    """Return how open a source video's eyes should be, (1, 1): as in its first frame, but not closed."""
    mean = first.eyes[:1].mean(1, keepdim=True)
    return torch.where(mean < CLOSED_EYES, OPEN_EYES, mean)


def hull_multiplier(source: Points, driving: Points) -> float:
    """Return the ratio of the source's and the driver's face size, from keypoints (N, 3) in general position."""
    return float(np.sqrt(hull_volume(source) / hull_volume(driving)))


def hull_volume(points: Points) -> float:
    """Return the volume of the convex hull: a triangle of points is a face of it if all others lie on one side."""
    centred = points.astype(np.float64) - points.mean(0, dtype=np.float64)
    a, b, c = centred[np.array(list(itertools.combinations(range(len(points)), 3)))].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    sides = np.einsum("fc,fpc->fp", normals, centred[None] - a[:, None])
    rounding = 1e-9 * np.abs(sides).max()
    faces = (sides < rounding).all(1) | (sides > -rounding).all(1)
    return float(np.abs((normals * a).sum(1))[faces].sum() / 6)


def one_euro_smooth(values: Tensor, min_cutoff: float = 4.0, beta: float = 0.3, rate: float = 30.0) -> Tensor:
    """Smooth (N, ...) over N frames at `rate` Hz, without looking ahead: One-Euro filter (Casiez et al., CHI 2012).

    As in FasterLivePortrait, the speed is measured between unfiltered values and low-passed at 1 Hz.
    """
    raw = values.double()
    smooth, speed = [raw[0]], torch.zeros_like(raw[0])
    for before, value in pairwise(raw):
        speed = speed + _share(torch.tensor(1.0), rate) * ((value - before) * rate - speed)
        smooth.append(smooth[-1] + _share(min_cutoff + beta * speed.abs(), rate) * (value - smooth[-1]))
    return torch.stack(smooth).to(values.dtype)


def _share(cutoff: Tensor, rate: float) -> Tensor:
    return 1 / (1 + rate / (2 * math.pi * cutoff))
