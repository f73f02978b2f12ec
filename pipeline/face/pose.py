"""Head pose: the similarity transform from the canonical face to the landmarks, and its Euler angles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.face.canonical import RIGID_IDS, RIGID_WEIGHTS, VERTICES

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class HeadPose:
    """A similarity transform: picture = scale * rotation @ head + translation; x right, y down, z from the camera."""

    rotation: Array  # (3, 3), proper
    scale: float  # pixels per cm of the canonical face
    translation: Array  # (3,) pixels: the head's origin in the picture

    @property
    def yaw(self) -> float:
        """Return the yaw in degrees; positive turns the nose to the picture's left."""
        return euler(self.rotation)[0]

    @property
    def pitch(self) -> float:
        """Return the pitch in degrees; positive lowers the nose."""
        return euler(self.rotation)[1]

    @property
    def roll(self) -> float:
        """Return the roll in degrees; positive turns the head clockwise in the picture."""
        return euler(self.rotation)[2]

    def to_head(self, points: Array) -> Array:
        """Convert (n, 3) pixels to (n, 3) cm in the head's frame."""
        return np.asarray((points - self.translation) @ self.rotation / self.scale, np.float32)

    def to_picture(self, points: Array) -> Array:
        """Convert (n, 3) cm in the head's frame to (n, 3) pixels; the inverse of `to_head`."""
        return np.asarray(self.scale * points @ self.rotation.T + self.translation, np.float32)


def head_pose(landmarks: Array) -> HeadPose:
    """Compute the pose of (468 or more, 3) landmarks in pixels from the 33 that expressions hardly move."""
    return similarity(VERTICES[RIGID_IDS], landmarks[RIGID_IDS], RIGID_WEIGHTS)


def similarity(source: Array, target: Array, weights: Array) -> HeadPose:
    """Compute the similarity from (n, 3) `source` to (n, 3) `target` points with the least weighted squared error.

    `weights` (n,) sum to 1. Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", PAMI 1991.
    """
    source_mean, target_mean = weights @ source, weights @ target
    inside, outside = (source - source_mean).astype(np.float64), (target - target_mean).astype(np.float64)
    left, spread, right = np.linalg.svd(outside.T @ (weights[:, None] * inside))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])  # no reflection
    rotation = (left * signs) @ right
    scale = float(spread @ signs / (weights @ (inside**2).sum(1)))
    translation = target_mean - scale * rotation @ source_mean
    return HeadPose(rotation.astype(np.float32), scale, translation.astype(np.float32))


def euler(rotation: Array) -> tuple[float, float, float]:
    """Return (yaw, pitch, roll) in degrees of a (3, 3) rotation = Ry(yaw) @ Rx(pitch) @ Rz(roll)."""
    yaw = math.atan2(rotation[0, 2], rotation[2, 2])
    pitch = math.asin(min(1.0, max(-1.0, -float(rotation[1, 2]))))
    roll = math.atan2(rotation[1, 0], rotation[1, 1])
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def rotation_from_euler(yaw: float, pitch: float, roll: float) -> Array:
    """Return the (3, 3) rotation Ry(yaw) @ Rx(pitch) @ Rz(roll) of angles in degrees; the inverse of `euler`."""
    (cy, sy), (cx, sx), (cz, sz) = (
        (math.cos(angle), math.sin(angle)) for angle in map(math.radians, (yaw, pitch, roll))
    )
    return np.array(
        [
            [cy * cz + sy * sx * sz, sy * sx * cz - cy * sz, sy * cx],
            [cx * sz, cx * cz, -sx],
            [cy * sx * sz - sy * cz, sy * sz + cy * sx * cz, cy * cx],
        ],
        np.float32,
    )
