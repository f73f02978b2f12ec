"""Sliders on a portrait's own face: LivePortrait's expression editing (the official user interface), by name."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.liveportrait.motion import KeypointMotion, rotation_matrix

Offsets = dict[str, float]
"""By point and axis, as "20y": what one unit of a slider adds to the expression there."""


@dataclass(frozen=True)
class Effect:
    """What a slider does; some do another thing below zero."""

    above: Offsets
    below: Offsets | None = None


EFFECTS = {
    "smile": Effect(
        {"20y": -0.01, "14y": -0.02, "17y": 0.0065, "17z": 0.003}
        | {"13y": -0.00275, "16y": -0.00275, "3y": -0.0035, "7y": -0.0035}
    ),
    "wink": Effect({"11y": 0.001, "13y": -0.0003, "17x": 0.0003, "17y": 0.0003, "3y": -0.0003}),
    "eyebrow": Effect(
        {"1y": 0.001, "2y": -0.001},
        {"1x": -0.001, "2x": 0.001, "1y": 0.0003, "2y": -0.0003},
    ),
    "gaze_x": Effect({"11x": 0.0007, "15x": 0.001}, {"11x": 0.001, "15x": 0.0007}),
    # looking down also lowers the lids: an offset of -0.001 by the gaze, and half of the lids' against it
    "gaze_y": Effect({"11y": -0.0005, "15y": -0.0005, "13y": -0.00015, "16y": -0.00015}),
    "pout": Effect({"19x": 1.0}),
    "purse": Effect({"14y": 0.001, "3y": -0.0005, "7y": -0.0005, "17z": -0.0005}),
    "grin": Effect({"20z": -0.001, "20y": -0.001, "14y": -0.001}),
    "lip_open": Effect({"19y": 0.001, "19z": 0.0001, "17y": -0.0001}),
    "move_x": Effect({"5x": -1.0}),
    "move_y": Effect({"5y": 1.0}),
}


def _slider(low: float, high: float, default: float = 0.0) -> float:
    value: float = field(default=default, metadata={"low": low, "high": high})
    return value


@dataclass(frozen=True)
class Edits:
    """The sliders, in the official units; the defaults change nothing."""

    pitch: float = _slider(-15, 15)  # degrees
    yaw: float = _slider(-25, 25)
    roll: float = _slider(-15, 15)
    smile: float = _slider(-0.3, 1.3)
    wink: float = _slider(0, 39)
    eyebrow: float = _slider(-30, 30)
    gaze_x: float = _slider(-30, 30)
    gaze_y: float = _slider(-63, 63)
    pout: float = _slider(-0.09, 0.09)
    purse: float = _slider(-20, 15)
    grin: float = _slider(0, 15)
    lip_open: float = _slider(-90, 120)
    move_x: float = _slider(-0.19, 0.19)
    move_y: float = _slider(-0.19, 0.19)
    zoom: float = _slider(0.9, 1.2, default=1.0)


def edit(motion: KeypointMotion, edits: Edits) -> KeypointMotion:
    """The motion (of a source picture, or driven) with the sliders applied."""
    turn = torch.tensor([edits.pitch, edits.yaw, edits.roll]).to(motion.rotation)
    angles = head_pose(motion.rotation) + turn
    return dataclasses.replace(
        motion,
        expression=motion.expression + _offset(edits).to(motion.expression),
        rotation=rotation_matrix(*angles.unbind(-1)) if turn.any() else motion.rotation,
        scale=motion.scale * edits.zoom,
    )


def head_pose(rotation: Tensor) -> Tensor:
    """(..., 3, 3) for row vectors to (..., 3) pitch, yaw, roll in degrees; the inverse of `motion.rotation_matrix`."""
    pitch = torch.atan2(rotation[..., 1, 2], rotation[..., 2, 2])
    yaw = torch.asin((-rotation[..., 0, 2]).clamp(-1, 1))
    roll = torch.atan2(rotation[..., 0, 1], rotation[..., 0, 0])
    return torch.rad2deg(torch.stack((pitch, yaw, roll), -1))


def _offset(edits: Edits) -> Tensor:
    offset = torch.zeros(21, 3)
    for name, effect in EFFECTS.items():
        value: float = getattr(edits, name)
        for place, coefficient in (effect.below if value < 0 and effect.below else effect.above).items():
            offset[int(place[:-1]), "xyz".index(place[-1])] += coefficient * value
    return offset
