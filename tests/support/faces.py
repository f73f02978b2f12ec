"""Synthetic faces: the canonical face with a pose and expression, for tests that need no picture."""

from __future__ import annotations

import numpy as np

from pipeline.face import groups
from pipeline.face.canonical import VERTICES
from pipeline.face.face import Face, HeadPose
from pipeline.face.pose import rotation_from_euler

EYES = (
    (groups.RIGHT_EYE_UPPER, groups.RIGHT_EYE_LOWER, groups.RIGHT_IRIS),
    (groups.LEFT_EYE_UPPER, groups.LEFT_EYE_LOWER, groups.LEFT_IRIS),
)


def make_face(
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    x: float = 0.0,
    y: float = 0.0,
    scale: float = 14.0,
    jaw: float = 0.0,
    blink: float = 0.0,
) -> Face:
    """Make a face: degrees, `x`, `y` pixels from (256, 256), `scale` pixels per cm, `jaw` cm open, `blink` 0..1."""
    shape = np.concatenate([VERTICES, np.zeros((10, 3), np.float32)])
    lower_lip = [*groups.LIPS_INNER_LOWER, *groups.LIPS_SEMI_INNER_LOWER, *groups.LIPS_OUTER_LOWER, groups.CHIN]
    shape[lower_lip, 1] += jaw
    for upper, lower, iris in EYES:
        contour = [*upper, *lower]
        middle = (shape[list(upper)] + shape[list(lower)]) / 2
        shape[list(iris)] = shape[contour].mean(0)
        shape[list(upper)] += blink * (middle - shape[list(upper)])
        shape[list(lower)] += blink * (middle - shape[list(lower)])
    place = np.array([256 + x, 256 + y, 0], np.float32)
    pose = HeadPose(rotation_from_euler(yaw, pitch, roll), scale, place)
    return Face(pose.to_picture(shape.astype(np.float32)), 1.0)
