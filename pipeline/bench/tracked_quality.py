"""Measure how well an animated portrait follows its driver, by tracking the animated pictures again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.face import groups
from pipeline.face.face import Face, HeadPose

Array = NDArray[np.float32]

GROUPS: Mapping[str, Sequence[int]] = {
    "lips": groups.LIPS,
    "eyes": sorted({*groups.RIGHT_EYE_UPPER, *groups.RIGHT_EYE_LOWER, *groups.LEFT_EYE_UPPER, *groups.LEFT_EYE_LOWER}),
    "brows": groups.RIGHT_BROW + groups.LEFT_BROW,
    "oval": groups.OVAL,
    "nose": (168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 97, 98, 129, 326, 327, 358),
    "iris": groups.RIGHT_IRIS + groups.LEFT_IRIS,
}


@dataclass(frozen=True, eq=False)
class QualitySample:
    """One frame: what the driver did, what was meant to be seen of it, and what is seen."""

    driver: Face
    intended: Array  # (478, 3) pixels of the animated picture
    intended_pose: HeadPose
    seen: Face  # tracked in the animated picture


@dataclass(frozen=True)
class Quality:
    """The figures of one driving video on one portrait, or the mean of several."""

    frames: int
    errors: dict[str, float]  # by group: mean distance from intended, in percent of the inter-ocular distance
    correlations: dict[str, float]  # by parameter: Pearson's r over time, driver against seen; nan if one is constant
    pose_error: tuple[float, float, float]  # mean absolute yaw, pitch, roll error in degrees
    jitter: float  # mean |second difference| of the landmarks' x and y in pixels; true motion included


def gaze_x(face: Face) -> float:
    """Return how far the irises are right of the middle of the eye, in eye widths (mean of both eyes)."""
    places = []
    for iris, (a, b) in ((groups.RIGHT_IRIS[0], (33, 133)), (groups.LEFT_IRIS[0], (362, 263))):
        left, right = face.shape[a, :2], face.shape[b, :2]
        axis = right - left
        places.append(float((face.shape[iris, :2] - (left + right) / 2) @ axis / (axis @ axis)))
    return sum(places) / 2


PARAMETERS: Mapping[str, Callable[[Face], float]] = {
    "gap": lambda face: face.lip_gap,
    "eye": lambda face: sum(face.eye_ratio) / 2,
    "gaze x": gaze_x,
    "width": lambda face: face.lip_width,
    "brow": lambda face: face.brow_height,
}


def measure(samples: Sequence[QualitySample]) -> Quality:
    """Return the figures of one video's frames, in order (at least one)."""
    offsets = np.array([sample.seen.landmarks - sample.intended for sample in samples])[..., :2]
    unit = np.mean([_between_eyes(sample.intended) for sample in samples])
    distance = np.linalg.norm(offsets, axis=2) / unit * 100
    return Quality(
        frames=len(samples),
        errors={name: float(distance[:, list(ids)].mean()) for name, ids in GROUPS.items()},
        correlations={
            name: _correlation([read(s.driver) for s in samples], [read(s.seen) for s in samples])
            for name, read in PARAMETERS.items()
        },
        pose_error=_pose_error(samples),
        jitter=_jitter(np.array([sample.seen.landmarks[:, :2] for sample in samples])),
    )


def mean(parts: Sequence[Quality]) -> Quality:
    """Return the mean of several videos' figures, weighted by frames; a correlation that is nan does not count."""
    frames = [part.frames for part in parts]

    def average(values: Sequence[float]) -> float:
        known = [(value, n) for value, n in zip(values, frames, strict=True) if not np.isnan(value)]
        return sum(value * n for value, n in known) / sum(n for _, n in known) if known else float("nan")

    yaw, pitch, roll = (average([part.pose_error[axis] for part in parts]) for axis in range(3))
    return Quality(
        frames=sum(frames),
        errors={name: average([part.errors[name] for part in parts]) for name in GROUPS},
        correlations={name: average([part.correlations[name] for part in parts]) for name in PARAMETERS},
        pose_error=(yaw, pitch, roll),
        jitter=average([part.jitter for part in parts]),
    )


def _between_eyes(landmarks: Array) -> float:
    """Return the distance of the outer corners of the eyes in pixels, as 300-W does (Sagonas et al., 2016)."""
    return float(np.linalg.norm(landmarks[33, :2] - landmarks[263, :2]))


def _correlation(a: Sequence[float], b: Sequence[float]) -> float:
    x, y = np.asarray(a) - np.mean(a), np.asarray(b) - np.mean(b)
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norm if norm > 1e-12 else float("nan")


def _pose_error(samples: Sequence[QualitySample]) -> tuple[float, float, float]:
    angles = [[(p.yaw, p.pitch, p.roll) for p in (sample.intended_pose, sample.seen.pose)] for sample in samples]
    intended, seen = np.array(angles).transpose(1, 0, 2)
    yaw, pitch, roll = np.abs((seen - intended + 180) % 360 - 180).mean(0)
    return float(yaw), float(pitch), float(roll)


def _jitter(points: Array) -> float:
    """Return the jitter of `points` (frames, n, 2); 0 if there are fewer than three frames."""
    return float(np.abs(np.diff(points, 2, axis=0)).mean()) if len(points) > 2 else 0.0
