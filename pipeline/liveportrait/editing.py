"""Edit a portrait's own expression, with the sliders of the official user interface of LivePortrait."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.core.options import AnimateOptions
from pipeline.liveportrait.keypoint_motion import KeypointMotion, rotation_matrix

Offsets = dict[str, float]
"""Point and axis, as "20y" -> what one unit of a slider adds to the expression there."""


@dataclass(frozen=True)
class Effect:
    """What a slider does, and, if that differs, what it does below zero."""

    above: Offsets
    below: Offsets | None = None


EFFECTS = {
    "edit_smile": Effect(
        {"20y": -0.01, "14y": -0.02, "17y": 0.0065, "17z": 0.003}
        | {"13y": -0.00275, "16y": -0.00275, "3y": -0.0035, "7y": -0.0035}
    ),
    "edit_wink": Effect({"11y": 0.001, "13y": -0.0003, "17x": 0.0003, "17y": 0.0003, "3y": -0.0003}),
    "edit_eyebrow": Effect(
        {"1y": 0.001, "2y": -0.001},
        {"1x": -0.001, "2x": 0.001, "1y": 0.0003, "2y": -0.0003},
    ),
    "edit_gaze_x": Effect({"11x": 0.0007, "15x": 0.001}, {"11x": 0.001, "15x": 0.0007}),
    # looking down also lowers the lids: an offset of -0.001 by the gaze, and half of the lids' against it
    "edit_gaze_y": Effect({"11y": -0.0005, "15y": -0.0005, "13y": -0.00015, "16y": -0.00015}),
    "edit_pout": Effect({"19x": 1.0}),
    "edit_purse": Effect({"14y": 0.001, "3y": -0.0005, "7y": -0.0005, "17z": -0.0005}),
    "edit_grin": Effect({"20z": -0.001, "20y": -0.001, "14y": -0.001}),
    "edit_lip_open": Effect({"19y": 0.001, "19z": 0.0001, "17y": -0.0001}),
    "edit_move_x": Effect({"5x": -1.0}),
    "edit_move_y": Effect({"5y": 1.0}),
}


def edit(motion: KeypointMotion, options: AnimateOptions) -> KeypointMotion:
    """Apply the sliders among the options (edit_*) to a motion, of a source picture or driven."""
    turn = (options.edit_pitch, options.edit_yaw, options.edit_roll)
    return dataclasses.replace(
        motion,
        expression=motion.expression + _offset(options).to(motion.expression),
        rotation=_turned(motion.rotation, turn) if any(turn) else motion.rotation,
        scale=motion.scale * options.edit_zoom,
    )


def _turned(rotation: Tensor, degrees: tuple[float, float, float]) -> Tensor:
    angles = head_pose(rotation) + torch.tensor(degrees).to(rotation)
    return rotation_matrix(*angles.unbind(-1))


def head_pose(rotation: Tensor) -> Tensor:
    """Return pitch, yaw, roll (..., 3) in degrees of rotations (..., 3, 3); the inverse of `rotation_matrix`."""
    pitch = torch.atan2(rotation[..., 1, 2], rotation[..., 2, 2])
    yaw = torch.asin((-rotation[..., 0, 2]).clamp(-1, 1))
    roll = torch.atan2(rotation[..., 0, 1], rotation[..., 0, 0])
    return torch.rad2deg(torch.stack((pitch, yaw, roll), -1))


def _offset(options: AnimateOptions) -> Tensor:
    offset = torch.zeros(21, 3)
    for name, effect in EFFECTS.items():
        value: float = getattr(options, name)
        for place, coefficient in (effect.below if value < 0 and effect.below else effect.above).items():
            offset[int(place[:-1]), "xyz".index(place[-1])] += coefficient * value
    return offset
