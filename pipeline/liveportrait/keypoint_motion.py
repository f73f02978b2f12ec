"""Compute keypoints for the warping network from what the motion extractor found (Guo et al., arXiv:2407.03168).

Pure functions of float32 tensors on any device, for B frames at once; a single source or reference frame is broadcast.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.core.options import AnimateOptions, AnimationRegion
from pipeline.liveportrait.networks.motion_extractor import POSE_BINS, RawMotion

LIP_POINTS = (6, 12, 14, 17, 19, 20)
EYE_POINTS = (11, 13, 15, 16, 18)
GAZE_POINTS, BROW_POINTS = (11, 15), (1, 2)
PROCESS_VARIANCE = 1e-5  # of `kalman_smooth`
STABLE = {1: "xyz", 2: "xyz", 6: "xyz", 3: "y", 4: "y", 5: "z", 8: "z", 9: "yz"} | dict.fromkeys(range(11, 21), "xyz")
"""The axes of points whose expression can be copied from another person as it is, not only as a difference."""


@dataclass(frozen=True, eq=False)
class KeypointMotion:
    """The pose and expression of a head, for B frames.

    A keypoint is (x right, y down, z inward); -1 and 1 are the edges of the crop.
    """

    keypoints: Tensor  # (B, 21, 3) canonical: without pose and expression
    expression: Tensor  # (B, 21, 3) offsets of the keypoints
    rotation: Tensor  # (B, 3, 3) for row vectors, from the left
    scale: Tensor  # (B, 1)
    translation: Tensor  # (B, 3); z has no effect

    def transformed(self) -> Tensor:
        """Return the keypoints in the picture, (B, 21, 3)."""
        points = self.scale[..., None] * (self.keypoints @ self.rotation + self.expression)
        return points + functional.pad(self.translation[:, None, :2], (0, 1))

    def frame(self, index: int) -> KeypointMotion:
        """Return one of the B frames."""
        names = [field.name for field in dataclasses.fields(self)]
        return KeypointMotion(*(getattr(self, name)[index : index + 1] for name in names))


def join(motions: Sequence[KeypointMotion]) -> KeypointMotion:
    """Join the frames of several motions, in order."""
    names = [field.name for field in dataclasses.fields(KeypointMotion)]
    return KeypointMotion(*(torch.cat([getattr(motion, name) for motion in motions]) for name in names))


def decode(raw: RawMotion) -> KeypointMotion:
    """Convert the network's seven outputs to a motion."""
    raw = RawMotion(*(value.float() for value in raw))
    pitch, yaw, roll = (head_pose_degrees(logits) for logits in (raw.pitch, raw.yaw, raw.roll))
    return KeypointMotion(raw.kp, raw.exp, rotation_matrix(pitch, yaw, roll), raw.scale, raw.t)


def head_pose_degrees(logits: Tensor) -> Tensor:
    """Convert logits (..., 66) of bins of 3 degrees to an angle in degrees."""
    bins = torch.arange(POSE_BINS, device=logits.device, dtype=torch.float32)
    return 3 * (logits.float().softmax(-1) * bins).sum(-1) - 97.5


def rotation_matrix(pitch: Tensor, yaw: Tensor, roll: Tensor) -> Tensor:
    """Return rotations (..., 3, 3) for row vectors, the transpose of Rz Ry Rx, from degrees (...) about x, y, z."""
    (sp, sy, sr), (cp, cy, cr) = (
        [function(torch.deg2rad(angle)) for angle in (pitch, yaw, roll)] for function in (torch.sin, torch.cos)
    )
    rows = (
        (cr * cy, sr * cy, -sy),
        (cr * sy * sp - sr * cp, sr * sy * sp + cr * cp, cy * sp),
        (cr * sy * cp + sr * sp, sr * sy * cp - cr * sp, cy * cp),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def relative(source: KeypointMotion, driving: KeypointMotion, reference: KeypointMotion) -> KeypointMotion:
    """Move the source as the driver moved since the reference frame."""
    return KeypointMotion(
        source.keypoints,
        source.expression + driving.expression - reference.expression,
        driving.rotation @ reference.rotation.mT @ source.rotation,
        source.scale * driving.scale / reference.scale,
        source.translation + driving.translation - reference.translation,
    )


def amplify(motion: KeypointMotion, reference: KeypointMotion, options: AnimateOptions) -> KeypointMotion:
    """Scale the driver's distance from the reference by the gains in `options`, of which 0 gives the reference."""
    strength, far = _expression_gains(options, motion.expression.device), options.head * options.position
    return KeypointMotion(
        motion.keypoints,
        reference.expression + strength * (motion.expression - reference.expression),
        _power(motion.rotation @ reference.rotation.mT, options.head) @ reference.rotation,
        reference.scale * (motion.scale / reference.scale) ** far,
        reference.translation + far * (motion.translation - reference.translation),
    )


@functools.lru_cache(maxsize=64)  # a moving slider makes many, and each stays on the device
def _expression_gains(options: AnimateOptions, device: torch.device) -> Tensor:
    strength = torch.ones(21, 3)
    strength[list(LIP_POINTS)] = options.mouth
    strength[list(BROW_POINTS)] = options.brows
    strength[list(EYE_POINTS), 1] = options.eyes
    strength[list(GAZE_POINTS), 0] = options.gaze
    return (options.expression * strength).to(device)


def _power(rotation: Tensor, gain: float) -> Tensor:
    """Multiply the angles of rotations (B, 3, 3), below a half turn, by `gain`; the axes stay (Rodrigues)."""
    skew = (rotation - rotation.mT) / 2  # sin(angle) * [axis]x
    sine = torch.linalg.vector_norm(skew, dim=(1, 2), keepdim=True) / 2**0.5
    cosine = ((rotation.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2)[:, None, None]
    axis = skew / sine.clamp(min=1e-12)
    angle = gain * torch.atan2(sine, cosine)
    return torch.eye(3, device=rotation.device) + torch.sin(angle) * axis + (1 - torch.cos(angle)) * axis @ axis


def absolute(source: KeypointMotion, driving: KeypointMotion) -> KeypointMotion:
    """Give the source the driver's pose and expression; its size stays."""
    return dataclasses.replace(driving, keypoints=source.keypoints, scale=source.scale)


def restrict(source: KeypointMotion, driven: KeypointMotion, region: AnimationRegion, stable: bool) -> KeypointMotion:
    """Keep of `driven` what belongs to the animation region; the rest is the source's.

    With `stable` the whole face's expression is limited to the axes that carry over between people.
    """
    moves = region in ("all", "pose")
    pose = driven if moves else source
    mask = _expression_mask(region, stable, source.expression.device)
    return KeypointMotion(
        source.keypoints,
        torch.where(mask, driven.expression, source.expression),
        pose.rotation,
        driven.scale if region == "all" else source.scale,
        pose.translation,
    )


@functools.cache
def _expression_mask(region: AnimationRegion, stable: bool, device: torch.device) -> Tensor:
    points: dict[AnimationRegion, dict[int, str]] = {
        "pose": {},
        "lip": dict.fromkeys(LIP_POINTS, "xyz"),
        "eyes": dict.fromkeys(EYE_POINTS, "xyz"),
    }
    axes = points.get(region, STABLE if stable else dict.fromkeys(range(21), "xyz"))
    mask = [[axis in axes.get(point, "") for axis in "xyz"] for point in range(21)]
    return torch.tensor(mask, device=device)


def drive(
    source: KeypointMotion, driving: KeypointMotion, reference: KeypointMotion | None, region: AnimationRegion = "all"
) -> KeypointMotion:
    """Drive a source picture by a video: relative to `reference`, or absolute if that is None."""
    if reference is None:
        return restrict(source, absolute(source, driving), region, stable=True)
    return restrict(source, relative(source, driving, reference), region, stable=False)


def drive_video(
    source: KeypointMotion,
    driving: KeypointMotion,
    reference: KeypointMotion | None,
    region: AnimationRegion = "all",
    observation_variance: float | None = 3e-7,
) -> KeypointMotion:
    """Drive a source video by a video, frame by frame; a larger variance smooths more, None not at all."""
    driven = absolute(source, driving) if reference is None else relative(source, driving, reference)
    if observation_variance is not None:
        driven = dataclasses.replace(
            driven,
            expression=kalman_smooth(driven.expression, observation_variance),
            rotation=kalman_smooth(driven.rotation, observation_variance),
        )
    translation = driven.translation if reference is None else source.translation
    driven = dataclasses.replace(driven, scale=source.scale, translation=translation)
    return restrict(source, driven, region, stable=True)


def kalman_smooth(values: Tensor, observation_variance: float) -> Tensor:
    """Smooth (N, ...) over N frames, each component by itself (Rauch, Tung and Striebel, AIAA Journal 3, 1965).

    The model is a random walk with a variance of 1e-5 per frame; a larger `observation_variance` smooths more.
    """
    means, variances = [values[0].double()], [observation_variance / (1 + observation_variance)]
    for value in values[1:]:
        predicted = variances[-1] + PROCESS_VARIANCE
        gain = predicted / (predicted + observation_variance)
        means.append(means[-1] + gain * (value - means[-1]))
        variances.append((1 - gain) * predicted)
    smooth = [means.pop()]
    for mean, variance in zip(reversed(means), reversed(variances[:-1]), strict=True):
        smooth.append(mean + variance / (variance + PROCESS_VARIANCE) * (smooth[-1] - mean))
    return torch.stack(smooth[::-1]).to(values.dtype)


def picture_reference(driving: KeypointMotion, region: AnimationRegion = "all") -> KeypointMotion:
    """Return the reference for one driving picture: its own pose, a neutral face (for the eyes: no expression)."""
    neutral = torch.tensor(NEUTRAL_LIP).expand(1, 21, 3) if region != "eyes" else torch.zeros(1, 21, 3)
    return dataclasses.replace(driving, expression=neutral.to(driving.expression))


def reframe(motion: KeypointMotion, offset: Tensor, zoom: Tensor) -> KeypointMotion:
    """Return the motion as a crop shows it in which this one's centre is at `offset` (B, 2) and its size `zoom` (B, 1).

    With this the driving crop can follow a driver without moving the portrait's head.
    """
    shift = torch.cat((offset, torch.zeros_like(offset[:, :1])), 1)
    return dataclasses.replace(motion, scale=motion.scale * zoom, translation=motion.translation * zoom + shift)


NEUTRAL_LIP = (
    (-9.4524e-05, 2.4222e-04, -4.00974e-05),
    (2.08596e-04, 4.68054e-04, 1.27464e-05),
    (-1.24602e-04, 3.24972e-04, 4.425e-06),
    (1.19652e-04, -4.56624e-04, 5.40852e-05),
    (-2.65254e-04, -7.4598e-05, -1.5528e-05),
    (-3.34884e-05, -1.83036e-04, -3.49404e-06),
    (-4.75428e-07, -4.52466e-07, 1.59498e-06),
    (-5.41296e-04, 2.6328e-03, 7.2486e-06),
    (-1.1694e-05, 5.00502e-06, 9.9888e-06),
    (8.0286e-07, 5.19132e-06, -4.09344e-04),
    (1.66878e-04, -1.9815e-05, -8.8548e-05),
    (-1.51536e-05, 8.2506e-05, 5.94012e-06),
    (-2.61054e-07, 2.7591e-06, 2.21028e-06),
    (-6.6282e-05, -6.8286e-05, -3.45318e-06),
    (-8.3262e-04, -1.79592e-03, -2.59176e-06),
    (6.9714e-06, 3.65514e-05, -1.8978e-06),
    (-4.80876e-06, 7.1148e-06, -1.03236e-05),
    (-6.3684e-04, -1.1661e-03, 5.62314e-05),
    (2.8329e-04, -1.45656e-05, 1.09746e-05),
    (-4.16022e-06, -1.50906e-02, -2.5494e-03),
    (2.22474e-04, 5.62788e-03, 2.72646e-03),
)
"""The expression of a face at rest with closed lips; a constant of the official pipeline."""
