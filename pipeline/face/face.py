"""A face in a picture: its landmarks, and the pose, shape and ratios computed from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.face import groups
from pipeline.face.canonical import RIGID_IDS, RIGID_WEIGHTS, VERTICES
from pipeline.face.pose import HeadPose, head_pose

__all__ = ["Face", "HeadPose"]


@dataclass(frozen=True, eq=False)
class Face:
    """The landmarks of MediaPipe's attention mesh: 468 of the mesh, then 5 of each iris (subject's right, left).

    Coordinates are continuous: pixel i covers [i, i + 1), so the centre of the first pixel is at 0.5.
    """

    landmarks: NDArray[np.float32]  # (478, 3) pixels of the picture: x right, y down, z away from the camera, x's scale
    score: float  # 0..1, the mesh's own face flag

    @cached_property
    def pose(self) -> HeadPose:
        """Compute the head pose from the landmarks that expressions hardly move."""
        return head_pose(self.landmarks)

    @cached_property
    def shape(self) -> NDArray[np.float32]:
        """Return the landmarks in the head's frame, without pose: (478, 3) cm."""
        return self.pose.to_head(self.landmarks)

    @property
    def misfit(self) -> float:
        """Return the RMS distance in cm of the rigid landmarks from those of a mean head."""
        return float(np.sqrt(RIGID_WEIGHTS @ ((self.shape[RIGID_IDS] - VERTICES[RIGID_IDS]) ** 2).sum(1)))

    @cached_property
    def eye_ratio(self) -> tuple[float, float]:
        """Return lid distance over eye width of the subject's (right, left) eye: about 0.05 closed, 0.3 open."""
        right = _lid_ratio(self.shape, groups.RIGHT_EYE_UPPER, groups.RIGHT_EYE_LOWER)
        return right, _lid_ratio(self.shape, groups.LEFT_EYE_UPPER, groups.LEFT_EYE_LOWER)

    @property
    def lip_gap(self) -> float:
        """Return the cm between the inner lips in the middle; near 0 if closed, slightly negative if pressed."""
        return float(self.shape[14, 1] - self.shape[13, 1])

    @property
    def lip_width(self) -> float:
        """Return the distance in cm between the outer lip corners."""
        return float(np.linalg.norm(self.shape[61] - self.shape[291]))

    @property
    def brow_height(self) -> float:
        """Return the cm of the brows above the head's origin; measured from the lids, each blink would change it."""
        return -float(self.shape[list(groups.RIGHT_BROW + groups.LEFT_BROW), 1].mean())

    @property
    def width(self) -> float:
        """Return the pixels from the right side of the face to the left; depth counts, so the pose does not matter."""
        return float(np.linalg.norm(self.landmarks[groups.RIGHT_SIDE] - self.landmarks[groups.LEFT_SIDE]))

    @property
    def height(self) -> float:
        """Return the pixels from the top of the face to the chin; depth counts, so the pose does not matter."""
        return float(np.linalg.norm(self.landmarks[groups.FOREHEAD] - self.landmarks[groups.CHIN]))


def _lid_ratio(shape: NDArray[np.float32], upper: tuple[int, ...], lower: tuple[int, ...]) -> float:
    middle = slice(3, 6)
    lids = np.linalg.norm(shape[list(upper[middle]), :2] - shape[list(lower[middle]), :2], axis=1).mean()
    return float(lids / np.linalg.norm(shape[upper[0], :2] - shape[upper[-1], :2]))
