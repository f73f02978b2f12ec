"""Transfer motion: turn the driver's change from neutral into new positions of the portrait's landmarks.

Shapes are (478, 3) cm in the head frame (Face.shape: x right, y down, z away), so pose and expression are separate.
The constants were tuned by eye and by tracking the animated result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Cue, Idle
from pipeline.core.options import AnimateOptions
from pipeline.face import groups
from pipeline.face.canonical import VERTICES
from pipeline.face.pose import HeadPose, euler, rotation_from_euler
from pipeline.meshwarp import lips
from pipeline.meshwarp.curves import smoothstep

Array = NDArray[np.float32]

TURN_LIMITS = (32.0, 25.0, 40.0)  # degrees yaw, pitch, roll
TRAVEL_LIMITS = (6.0, 5.0)  # cm right, down
SCALE_LIMITS = (0.8, 1.25)
FAR_TURN = 12.0  # degrees of yaw beyond which the source hides one cheek
DISPLACEMENT_LIMIT = 5.0  # cm
DEPTH_GAIN = 0.5  # depth is the tracker's least accurate coordinate
CLOSED_RATIO = 0.085  # lid ratio of a closed eye
WINK = 0.25  # difference in openness from which the eyes move separately
WIDEST = 1.4  # openness of a wide open eye; 1 is the source's
GAZE_LIMITS = (0.26, 0.13)  # in eye widths, along and across the eye
LID_LINE = 0.18  # where the lids meet: share of the way from the lower to the upper lid
HEAD_RISE = 0.08  # cm by which breathing in lifts the head
BROADEST_SMILE = 0.5  # widest mouth, in face widths
LEAST_ROOM = 0.06  # share of its width by which any mouth can still widen


@dataclass(frozen=True)
class Eye:
    """The landmark indices around one eye, corner to corner; the first of `iris` is its centre."""

    upper: list[int]
    lower: list[int]
    crease: list[int]
    bag: list[int]
    fold: list[int]
    brow: list[int]
    iris: list[int]


EYES = (
    Eye(
        *map(list, (groups.RIGHT_EYE_UPPER, groups.RIGHT_EYE_LOWER, groups.RIGHT_HALO2_UPPER)),
        *map(list, (groups.RIGHT_HALO2_LOWER, groups.RIGHT_HALO3_UPPER, groups.RIGHT_BROW, groups.RIGHT_IRIS)),
    ),
    Eye(
        *map(list, (groups.LEFT_EYE_UPPER, groups.LEFT_EYE_LOWER, groups.LEFT_HALO2_UPPER)),
        *map(list, (groups.LEFT_HALO2_LOWER, groups.LEFT_HALO3_UPPER, groups.LEFT_BROW, groups.LEFT_IRIS)),
    ),
)
"""The subject's right eye, then the left."""

LIPS = list(groups.LIPS)


@dataclass(frozen=True, eq=False)
class PosedShape:
    """A face on the portrait's canvas."""

    shape: Array  # (478, 3) cm
    pose: HeadPose

    @cached_property
    def landmarks(self) -> Array:
        """Return the landmarks (478, 3) in canvas pixels."""
        return self.pose.to_picture(self.shape)

    @property
    def lip_gap(self) -> float:
        """Return the cm between the inner lips in the middle."""
        return float(self.shape[14, 1] - self.shape[13, 1])


@dataclass(frozen=True, eq=False)
class Rest(PosedShape):
    """The portrait's face at rest."""

    headroom: float = TRAVEL_LIMITS[1]  # cm that the head may move down before the picture's cut above it shows


def lift(pixels: Array, depth: Array, pose: HeadPose) -> Array:
    """Return the points (n, 3) of the head frame at (n,) depths, in cm, that `pose` projects to (n, 2) pixels."""
    turn = pose.rotation
    flat = (pixels - pose.translation[:2]) / np.float32(pose.scale) - depth[:, None] * turn[:2, 2]
    return np.column_stack([flat @ np.linalg.inv(turn[:2, :2]).T, depth]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Target(PosedShape):
    """The portrait's face in its new shape and pose."""

    openness: tuple[float, float]  # right, left eye of the subject: 0 closed, 1 as in the source, up to 1.4
    eyeballs: Array  # (478, 3) cm: the shape whose lid contours bound the eyeballs
    breath: float  # -1 out .. 1 in


def aim(rest: Rest, cue: Cue) -> Target:
    """Return the target of a cue for a portrait with the face `rest`."""
    options, idle, share = cue.options, cue.idle, cue.blend
    shape, openness, change = rest.shape, (1.0, 1.0), PoseChange()
    if cue.motion is not None and cue.reference is not None and share > 0:
        face, neutral = cue.motion.face, cue.reference
        shape = shape + np.float32(share) * _expression(shape, face.shape, neutral.shape, options)
        openness = _openness(face.eye_ratio, neutral.eye_open, share * options.expression * options.eyes)
        change = _pose_change(face.pose, neutral.pose, share * options.head, options)
    openness = (openness[0] * (1 - idle.blink), openness[1] * (1 - idle.blink))
    shape, eyeballs = with_lids(shape, openness)
    return Target(shape, posed(rest, change, idle), openness, eyeballs, idle.breath)


# Pose


@dataclass(frozen=True)
class PoseChange:
    """The driver's head motion relative to neutral."""

    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)  # degrees yaw, pitch, roll
    travel: tuple[float, float] = (0.0, 0.0)  # cm right, down
    growth: float = 1.0


def _pose_change(driver: HeadPose, neutral: HeadPose, gain: float, options: AnimateOptions) -> PoseChange:
    yaw, pitch, roll = euler(driver.rotation @ neutral.rotation.T)
    turn = gain * options.yaw * yaw, gain * options.pitch * pitch, gain * options.roll * roll
    far = gain * options.position
    right, down, _ = (driver.translation - neutral.translation) * np.float32(far / neutral.scale)
    growth = float(np.clip((driver.scale / neutral.scale) ** far, *SCALE_LIMITS))
    return PoseChange(turn, (float(right), float(down)), growth)


def posed(rest: Rest, change: PoseChange, idle: Idle) -> HeadPose:
    """Return the portrait's pose turned, moved and scaled, within the limits of its picture."""
    pose = rest.pose
    yaw, pitch, roll = change.turn
    turn = limit_turn((yaw + idle.sway[0], pitch + idle.sway[1], roll), pose.yaw)
    right, down = change.travel[0], change.travel[1] - HEAD_RISE * idle.breath
    limits = (TRAVEL_LIMITS[0], rest.headroom if down > 0 else TRAVEL_LIMITS[1])
    right, down = (limit * math.tanh(way / limit) for way, limit in zip((right, down), limits, strict=True))
    shift = np.float32(pose.scale) * np.array([right, down, 0], np.float32)
    return HeadPose(rotation_from_euler(*turn) @ pose.rotation, pose.scale * change.growth, pose.translation + shift)


def limit_turn(turn: tuple[float, float, float], source_yaw: float) -> tuple[float, float, float]:
    """Limit (yaw, pitch, roll) degrees softly; a half-profile source turns little towards its hidden cheek."""
    yaw, pitch, roll = turn
    if abs(source_yaw) > FAR_TURN:
        hidden = yaw * source_yaw < 0
        limit = max(6.0, 24 - 0.6 * abs(source_yaw)) if hidden else max(8.0, 50 - abs(source_yaw))
        yaw = limit * math.tanh(yaw / limit)
    else:
        yaw = soft_limit(yaw, TURN_LIMITS[0])
    return yaw, soft_limit(pitch, TURN_LIMITS[1]), soft_limit(roll, TURN_LIMITS[2])


def soft_limit(value: float, limit: float) -> float:
    """Return the value unchanged up to 0.6 of the limit, then compressed so that it never exceeds the limit."""
    over = abs(value) - 0.6 * limit
    return value if over <= 0 else math.copysign(0.6 * limit + 0.4 * limit * math.tanh(over / (0.4 * limit)), value)


# Expression


def _expression(source: Array, driver: Array, neutral: Array, options: AnimateOptions) -> Array:
    """Return (478, 3) cm by which the source's landmarks move; the lids are handled in `with_lids`."""
    change = (driver - neutral) * _proportions(source, neutral)
    damping = 1 - _smile_share(source, driver, neutral)
    change[LIPS] *= 1 - damping * np.array([1, 0.6, 1], np.float32)
    length = np.linalg.norm(change, axis=1, keepdims=True)
    change *= DISPLACEMENT_LIMIT * np.tanh(length / DISPLACEMENT_LIMIT) / np.maximum(length, 1e-6)
    for eye in EYES:
        brow = change[eye.brow].mean(0)
        change[eye.upper + eye.lower + eye.crease + eye.bag] = 0
        change[eye.fold] = 0.35 * brow
    lips.meet_lips(change, source, driver, neutral, _tall(source, neutral))
    lips.smooth_skin(change)
    strength = options.expression * (1 + (options.mouth - 1) * MOUTH + (options.brows - 1) * BROWS)
    change[:468] *= strength[:, None]
    change[468:] = _gaze(source, driver, neutral, options.expression * options.gaze)
    if options.expression * options.mouth > 1:
        lips.part_lips(change, source)
    return change


MOUTH = smoothstep(0.0, 3.0, VERTICES[:, 1])
"""(468,) weights of the mouth slider: 0 above the nose's tip, 1 from the upper lip downwards."""

BROWS = smoothstep(-2.5, -4.0, VERTICES[:, 1])
"""(468,) weights of the brow slider: 1 from the brows upwards."""


MOBILITY = np.ones(468, np.float32)
"""(468,) share of a tracked movement that is expression. On the face's outline and the nose half of it is an error of
the tracker that appears when the head turns."""
MOBILITY[list(groups.OVAL)] = 0.5 + 0.5 * smoothstep(0.0, 5.0, VERTICES[list(groups.OVAL), 1])
MOBILITY[[168, 6, 197, 195, 5, 4, 1, 19, 94, 2]] = 0.5  # along the ridge and under the tip


def _distance(shape: Array, a: int, b: int) -> float:
    return float(np.linalg.norm(shape[a] - shape[b]))


def _tall(source: Array, neutral: Array) -> float:
    return _distance(source, 2, 152) / _distance(neutral, 2, 152)


def _proportions(source: Array, neutral: Array) -> Array:
    """Return (478, 3): the source's size divided by the driver's, by region and direction."""
    wide = _distance(source, 234, 454) / _distance(neutral, 234, 454)
    factor = np.tile(np.array([wide, _tall(source, neutral), wide * DEPTH_GAIN], np.float32), (478, 1))
    factor[LIPS, 0] = _distance(source, 61, 291) / _distance(neutral, 61, 291)
    factor[:468] *= MOBILITY[:, None]
    return factor


def _smile_share(source: Array, driver: Array, neutral: Array) -> float:
    """Return the share, 0..1, of the driver's smile to apply: a mouth that already smiles has little room to widen."""
    widen = _distance(driver, 61, 291) / _distance(neutral, 61, 291) - 1
    if widen < 1e-3:
        return 1.0
    room = max(LEAST_ROOM, BROADEST_SMILE * _distance(source, 234, 454) / _distance(source, 61, 291) - 1)
    return room * math.tanh(widen / room) / widen


# Eyes


def _openness(ratio: tuple[float, float], reference: tuple[float, float], gain: float) -> tuple[float, float]:
    """Convert lid ratios to openness (right, left); both are equal unless the driver winks."""
    right, left = (_open(now, rest) for now, rest in zip(ratio, reference, strict=True))
    if abs(right - left) < WINK:
        right = left = (right + left) / 2
    right, left = (float(np.clip(1 + gain * (value - 1), 0, WIDEST)) for value in (right, left))
    return right, left


def _open(ratio: float, reference: float) -> float:
    value = float(np.clip((ratio - CLOSED_RATIO) / max(reference - CLOSED_RATIO, 0.05), 0, WIDEST))
    if value > 1:
        return 1 + 0.7 * (value - 1)
    return 0.3 * value if value < 0.18 else value


def with_lids(shape: Array, openness: tuple[float, float]) -> tuple[Array, Array]:
    """Return the shape with moved lids, and the one whose lids bound the eyeballs (changed by widened lids only)."""
    closed, eyeballs = shape.copy(), shape.copy()
    for eye, open_ in zip(EYES, openness, strict=True):
        upper, lower = shape[eye.upper], shape[eye.lower]
        line = lower + LID_LINE * (upper - lower)
        down, up = (1 - open_) * (line - upper), (1 - open_) * (line - lower)
        closed[eye.upper] += down
        closed[eye.lower[1:-1]] += up[1:-1]
        closed[eye.crease] += 0.42 * down
        closed[eye.fold] += 0.1 * down
        closed[eye.bag[1:-1]] += 0.4 * up[1:-1]
        if open_ > 1:
            eyeballs[eye.upper + eye.lower] = closed[eye.upper + eye.lower]
    return closed, eyeballs


def _gaze(source: Array, driver: Array, neutral: Array, gain: float) -> Array:
    """Return (10, 3) cm by which the iris landmarks move within the lids."""
    limits = np.array(GAZE_LIMITS, np.float32)
    angle = gain * (gaze(driver) - gaze(neutral))
    angle = limits * np.tanh(angle / limits)
    moves = []
    for eye in EYES:
        along, across, width = _axes(source, eye)
        moves.append(np.append(width * (angle[0] * along + angle[1] * across), 0))
    return np.repeat(np.array(moves, np.float32), 5, axis=0)


def gaze(shape: Array) -> Array:
    """Return the mean offset (2,) of the irises between the eye corners, right and down, in eye widths."""
    places = []
    for eye in EYES:
        along, across, width = _axes(shape, eye)
        middle = (shape[eye.upper[0], :2] + shape[eye.upper[-1], :2]) / 2
        offset = (shape[eye.iris[0], :2] - middle) / width
        places.append((offset @ along, offset @ across))
    return np.mean(np.array(places, np.float32), axis=0)


def _axes(shape: Array, eye: Eye) -> tuple[Array, Array, float]:
    """Return unit vectors along the eye (to the picture's right) and across it (down), and its width in cm."""
    right, left = sorted((shape[eye.upper[0], :2], shape[eye.upper[-1], :2]), key=lambda corner: float(corner[0]))
    width = float(np.linalg.norm(left - right))
    along = (left - right) / np.float32(width)
    return np.asarray(along, np.float32), np.array([-along[1], along[0]], np.float32), width
