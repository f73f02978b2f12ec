"""Find the driver's neutral: the look relative to which every movement is measured."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Motion, Reference
from pipeline.face import groups
from pipeline.face.face import Face, HeadPose

WINDOW_SECONDS = 2.0  # length of automatic calibration, from the first face on
COMMAND_SECONDS = 0.6  # shorter after "calibrate": the driver looks straight and relaxed already
BEST_FRAMES = 5  # averaged, to reduce the noise of a single one
SETTLE_SECONDS = 0.15  # time constant with which a better neutral is approached
RECENTRE_SECONDS = 8.0  # time constant with which a resting driver's new position becomes the middle
EYE_SAMPLE_SECONDS = 0.1
EYE_SAMPLES = 200
EYE_PERCENTILE = 85  # of eye openings, so that blinks and squints do not count
CLOSED_LIPS_CM = 0.15
RESTING_WIDTH, RESTING_SPREAD = 0.35, 0.03  # width of a mouth at rest in face widths, and how much people differ


class Calibration:
    """Watches a driver and keeps their Reference. Times are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self.reference: Reference | None = None
        self._candidates: list[Motion] = []
        self._window = WINDOW_SECONDS
        self._until: float | None = None
        self._eyes: deque[tuple[float, float]] = deque(maxlen=EYE_SAMPLES)
        self._eye_time = -math.inf
        self._last: tuple[float, Face] | None = None

    def restart(self) -> None:
        """Choose a new neutral from the next moments; keep the old one until then."""
        self._candidates.clear()
        self._eyes.clear()
        self._window, self._until, self._eye_time = COMMAND_SECONDS, None, -math.inf

    @property
    def running(self) -> bool:
        """Return whether the neutral is not settled yet."""
        return self._until is None or (self._last is not None and self._last[0] <= self._until)

    def choose(self, motions: Sequence[Motion]) -> None:
        """Settle the neutral at once on these frames, a file's first seconds."""
        self._eyes.extend(motion.face.eye_ratio for motion in motions)
        self._candidates = list(motions)
        self.reference, self._until = self._best(), -math.inf

    def observe(self, motion: Motion, time: float) -> Reference:
        """Take in one frame and return the reference to measure it against."""
        self._until = time + self._window if self._until is None else self._until
        self._sample_eyes(motion.face, time)
        step = max(0.0, time - self._last[0]) if self._last else 0.0
        if time <= self._until:
            self._candidates.append(motion)
            self.reference = _settle(self.reference, self._best(), step)
        elif self.reference:
            self.reference = replace(self.reference, eye_open=_open_eyes(self._eyes))
            if self._last and _rests(self._last[1], motion.face, self.reference, step):
                self.reference = _recentre(self.reference, motion.face.pose, step)
        self._last = (time, motion.face)
        assert self.reference is not None
        return self.reference

    def _sample_eyes(self, face: Face, time: float) -> None:
        if time - self._eye_time >= EYE_SAMPLE_SECONDS:
            self._eyes.append(face.eye_ratio)
            self._eye_time = time

    def _best(self) -> Reference:
        faces, eye_open = [motion.face for motion in self._candidates], _open_eyes(self._eyes)
        brow, pitch = np.median([(face.brow_height, face.pose.pitch) for face in faces], axis=0)
        calm = min(faces, key=lambda face: _strain(face, eye_open, float(brow), float(pitch)))
        # The mean of different expressions is none of them, so only frames that look like the calmest are averaged.
        best = sorted(self._candidates, key=lambda motion: _unlike(motion.face, calm))[:BEST_FRAMES]
        poses = [motion.face.pose for motion in best]
        shape = np.mean([motion.face.shape for motion in best], axis=0)
        return Reference(best[0], shape.astype(np.float32), _mean_pose(poses), eye_open)


def _strain(face: Face, eye_open: tuple[float, float], brow: float, pitch: float) -> float:
    """Return how far a face is from looking straight and relaxed: 0 is neutral, about 1 per strong deviation.

    The driver's usual open eyes, brow height (cm) and pitch (degrees) differ between people and camera positions.
    """
    turned = (face.pose.yaw / 15) ** 2 + ((face.pose.pitch - pitch) / 15) ** 2
    lips = max(0.0, face.lip_gap - CLOSED_LIPS_CM) / 0.3
    smile = max(0.0, abs(mouth_width(face) - RESTING_WIDTH) - RESTING_SPREAD) / 0.06
    eyes = sum(abs(now / max(opened, 1e-3) - 1) for now, opened in zip(face.eye_ratio, eye_open, strict=True))
    return turned + lips + smile + eyes + abs(face.brow_height - brow) / 0.4


def mouth_width(face: Face) -> float:
    """Return the mouth's width in face widths: about 0.28 pursed, 0.35 at rest, 0.48 in a broad smile."""
    sides = face.shape[groups.RIGHT_SIDE] - face.shape[groups.LEFT_SIDE]
    return face.lip_width / float(np.linalg.norm(sides))


def _unlike(face: Face, other: Face) -> float:
    return float(np.abs(face.shape - other.shape).mean())


def _open_eyes(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    right, left = np.percentile(np.asarray(samples), EYE_PERCENTILE, axis=0)
    return float(right), float(left)


def _settle(old: Reference | None, new: Reference, step: float) -> Reference:
    if old is None:
        return new
    weight = 1 - math.exp(-step / SETTLE_SECONDS)
    shape = old.shape + np.float32(weight) * (new.shape - old.shape)
    motion = old.motion.towards(new.motion, weight)
    pose = _mean_pose([old.pose, new.pose], np.array([1 - weight, weight]))
    return replace(new, motion=motion, shape=shape, pose=pose)


def _rests(before: Face, now: Face, reference: Reference, step: float) -> bool:
    """Return whether the head is still and looks about straight: only then may the middle move."""
    if step <= 0:
        return False
    speed = float(np.linalg.norm(now.pose.translation[:2] - before.pose.translation[:2])) / now.pose.scale / step
    straight = abs(now.pose.yaw - reference.pose.yaw) < 10 and abs(now.pose.pitch - reference.pose.pitch) < 10
    return straight and speed < 2.0  # cm/s


def _recentre(reference: Reference, pose: HeadPose, step: float) -> Reference:
    weight = 1 - math.exp(-step / RECENTRE_SECONDS)
    middle = replace(
        reference.pose,
        translation=reference.pose.translation + np.float32(weight) * (pose.translation - reference.pose.translation),
        scale=reference.pose.scale + weight * (pose.scale - reference.pose.scale),
    )
    return replace(reference, pose=middle)


def _mean_pose(poses: Sequence[HeadPose], weights: NDArray[np.float64] | None = None) -> HeadPose:
    def mean(values: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.average(values, axis=0, weights=weights).astype(np.float32)

    # The rotation nearest to a mean of rotations is the orthogonal factor of that mean (Moakher 2002).
    left, _, right = np.linalg.svd(mean([pose.rotation for pose in poses]))
    scale = float(np.average([pose.scale for pose in poses], weights=weights))
    return HeadPose(np.asarray(left @ right, np.float32), scale, mean([pose.translation for pose in poses]))
