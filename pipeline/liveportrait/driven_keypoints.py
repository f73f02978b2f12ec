"""Compute from a cue where the keypoints go. See `driven_keypoints` first."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pipeline.core.animator import Cue, Idle, Motion, Portrait
from pipeline.core.options import AnimateOptions
from pipeline.face.face import Face
from pipeline.liveportrait.corrections import Correctors, Ratios, correct, opening
from pipeline.liveportrait.crop import Box, placement
from pipeline.liveportrait.editing import edit
from pipeline.liveportrait.keypoint_motion import KeypointMotion, amplify, drive, picture_reference, reframe
from pipeline.liveportrait.landmarks import mesh_ratios
from pipeline.liveportrait.paste import Paster

NOWHERE = Box(np.zeros(2), 1.0)  # the crop of recorded motion, which does not state one
BREATH_LIFT, BREATH_GROWTH = 0.004, 0.002  # in half sides of the crop, in head sizes: about a pixel of 512


@dataclass(frozen=True, eq=False)
class SourcePortrait(Portrait):
    """A source, and what the networks extracted from its crop; float32, on the host except the appearance."""

    feature: Tensor  # (1, 32, 16, 64, 64) appearance, on the device that draws
    motion: KeypointMotion  # one frame
    keypoints: Tensor  # (1, 21, 3): `motion` transformed
    ratios: Ratios
    paster: Paster


@dataclass(frozen=True, eq=False)
class Drawing:
    """A picture to draw: a portrait, and where its keypoints go."""

    portrait: SourcePortrait
    keypoints: Tensor  # (1, 21, 3)
    options: AnimateOptions


@dataclass(frozen=True, eq=False)
class DriverMotion(Motion):
    """The motion of one driving frame, read in a crop that is kept steady from frame to frame."""

    keypoints: KeypointMotion  # one frame
    ratios: Ratios | None  # None: recorded without them
    box: Box  # the crop, in pixels of the driving picture
    time: float  # seconds

    @torch.inference_mode()
    def towards(self, other: Motion, share: float) -> Motion:
        """Mix both, as this one's crop shows them."""
        if not isinstance(other, DriverMotion):
            return other
        mixed = amplify(reframed(other, self.box), self.keypoints, AnimateOptions(head=share, expression=share))
        return replace(other, keypoints=mixed, box=self.box)


def ratios_of(face: Face) -> Ratios:
    """Return how open a face's eyes and lips are."""
    left, right, lip = mesh_ratios(face)
    return Ratios(torch.tensor([[left, right]]), torch.tensor([[lip]]))


def driven_keypoints(networks: Correctors, cue: Cue, portrait: SourcePortrait) -> Tensor:
    """Return where the keypoints of the cue's portrait go, (1, 21, 3)."""
    points = _resting(networks, cue, portrait)
    if isinstance(cue.motion, DriverMotion) and cue.blend > 0:
        points = points + cue.blend * (_following(networks, cue, portrait, cue.motion) - points)
    if cue.idle.blink:
        closed = torch.zeros_like(portrait.ratios.lip)
        points = points + cue.idle.blink * opening(networks.eye, portrait.keypoints, portrait.ratios.eyes, closed)
    return points


def _resting(networks: Correctors, cue: Cue, portrait: SourcePortrait) -> Tensor:
    options = replace(_with_idle(cue.options, cue.idle), eye_retargeting=False, lip_retargeting=False)
    still = edit(portrait.motion, options).transformed()
    return correct(networks, options, portrait.keypoints, still, portrait.ratios, None)


def _following(networks: Correctors, cue: Cue, portrait: SourcePortrait, motion: DriverMotion) -> Tensor:
    options = cue.options
    driving, reference = _measured(cue, motion)
    driving = amplify(driving, reference, options)
    driven = drive(portrait.motion, driving, reference if options.relative else None, options.region)
    points = edit(driven, _with_idle(options, cue.idle)).transformed()
    return correct(networks, options, portrait.keypoints, points, portrait.ratios, motion.ratios)


def _measured(cue: Cue, motion: DriverMotion) -> tuple[KeypointMotion, KeypointMotion]:
    """Return the driver's motion and neutral, as the same crop would show them; a single picture is its own neutral."""
    neutral = cue.reference.motion if cue.reference else None
    if not isinstance(neutral, DriverMotion):
        return motion.keypoints, picture_reference(motion.keypoints, cue.options.region)
    return reframed(motion, neutral.box), neutral.keypoints


def reframed(motion: DriverMotion, box: Box) -> KeypointMotion:
    """Return the motion as the crop `box` of the same video would show it."""
    offset, zoom = placement(motion.box, box)
    like = motion.keypoints.scale
    return reframe(motion.keypoints, torch.as_tensor(offset[None]).to(like), torch.full_like(like, zoom))


def _with_idle(options: AnimateOptions, idle: Idle) -> AnimateOptions:
    """Return the options with the idle movement added to the sliders."""
    yaw, pitch = idle.sway
    return replace(
        options,
        edit_yaw=options.edit_yaw + yaw,
        edit_pitch=options.edit_pitch + pitch,
        edit_move_y=options.edit_move_y - BREATH_LIFT * idle.breath,
        edit_zoom=options.edit_zoom * (1 + BREATH_GROWTH * idle.breath),
    )
