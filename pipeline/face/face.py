"""A face in a picture: landmarks, and what follows from them alone (pose, shape, eye and lip ratios)."""

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
        """Where the head is, from the landmarks that expressions hardly move."""
        return head_pose(self.landmarks)

    @cached_property
    def shape(self) -> NDArray[np.float32]:
        """(478, 3) cm: the landmarks in the head's own frame, free of pose."""
        return self.pose.to_head(self.landmarks)

    @property
    def misfit(self) -> float:
        """cm, root mean square: how far the landmarks that expressions hardly move lie from a mean head's."""
        return float(np.sqrt(RIGID_WEIGHTS @ ((self.shape[RIGID_IDS] - VERTICES[RIGID_IDS]) ** 2).sum(1)))

    @cached_property
    def eye_ratio(self) -> tuple[float, float]:
        """How open the subject's (right, left) eye is: lid distance over eye width, about 0.05 closed, 0.3 open."""
        right = _lid_ratio(self.shape, groups.RIGHT_EYE_UPPER, groups.RIGHT_EYE_LOWER)
        return right, _lid_ratio(self.shape, groups.LEFT_EYE_UPPER, groups.LEFT_EYE_LOWER)

    @property
    def lip_gap(self) -> float:
        """cm between the inner lips in the middle; closed lips are near 0, and may overlap a little (negative)."""
        return float(self.shape[14, 1] - self.shape[13, 1])

    @property
    def lip_width(self) -> float:
        """cm between the outer lip corners."""
        return float(np.linalg.norm(self.shape[61] - self.shape[291]))

    @property
    def brow_height(self) -> float:
        """cm of the brows above the head's origin: against the lids, it would move with each blink."""
        return -float(self.shape[list(groups.RIGHT_BROW + groups.LEFT_BROW), 1].mean())

    @property
    def width(self) -> float:
        """Pixels from the subject's right side of the face to the left, whatever the pose."""
        return float(np.linalg.norm(self.landmarks[groups.RIGHT_SIDE] - self.landmarks[groups.LEFT_SIDE]))

    @property
    def height(self) -> float:
        """Pixels from the top of the face to the chin, whatever the pose."""
        return float(np.linalg.norm(self.landmarks[groups.FOREHEAD] - self.landmarks[groups.CHIN]))


def _lid_ratio(shape: NDArray[np.float32], upper: tuple[int, ...], lower: tuple[int, ...]) -> float:
    middle = slice(3, 6)
    lids = np.linalg.norm(shape[list(upper[middle]), :2] - shape[list(lower[middle]), :2], axis=1).mean()
    return float(lids / np.linalg.norm(shape[upper[0], :2] - shape[upper[-1], :2]))
