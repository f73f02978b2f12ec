"""Tiny LivePortrait networks that run in milliseconds and draw what reached them.

Their crop has one colour: 0.5 plus the mean shift of the keypoints along x, y, z.
"""

from __future__ import annotations

import torch
from torch import nn

from pipeline.liveportrait.animator import LivePortrait
from pipeline.liveportrait.backends.registry import builder
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.networks.motion_extractor import KEYPOINTS, POSE_BINS, RawMotion
from pipeline.liveportrait.networks.stitching import eye_retargeting, lip_retargeting, stitching
from pipeline.liveportrait.networks.warping import Warped
from pipeline.load_liveportrait import assemble

EYE_SHIFT, LIP_SHIFT = 0.05, 0.08  # by which the retargeting networks move every point


class Appearance(nn.Module):
    def forward(self, picture):
        return picture.new_zeros(len(picture), 1)


class TinyMotion(nn.Module):
    """Brightness moves the head to the right; redness of the picture's left half opens the mouth (point 19 down)."""

    def forward(self, picture):
        count, bright, red = len(picture), picture.mean((1, 2, 3)), picture[:, 0, :, :128].mean((1, 2))
        points = torch.linspace(-0.5, 0.5, KEYPOINTS * 3).reshape(1, KEYPOINTS, 3).repeat(count, 1, 1)
        expression = torch.zeros(count, KEYPOINTS, 3)
        expression[:, 19, 1] = red.float()
        place = torch.stack((bright, torch.zeros_like(bright), torch.zeros_like(bright)), 1)
        level = torch.zeros(count, POSE_BINS)
        return RawMotion(points, torch.ones(count, 1), level, level, level, place.float(), expression)


class Warping(nn.Module):
    def forward(self, feature, driving, source):
        shift = (driving - source).mean(1).to(feature.dtype)
        return Warped(shift, shift, shift)


class Generator(nn.Module):
    def __init__(self, broken=()):
        super().__init__()
        self.fc = nn.Linear(1, 1)
        self.broken = broken

    def forward(self, shift):
        crops = (0.5 + shift)[:, :, None, None].expand(-1, -1, 512, 512)
        return crops * torch.nan if self.fc.weight.dtype in self.broken else crops


def constant(perceptron, value):
    """Make a perceptron return `value` for every keypoint and any input."""
    for parameter in perceptron.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(list(perceptron.parameters())[-1], value)
    return perceptron


def tiny_networks(broken=()):
    """Return the tiny networks; the generator returns NaN if its weights have a dtype in `broken`."""
    return Networks(
        appearance=Appearance(),
        motion=TinyMotion(),
        warping=Warping(),
        generator=Generator(broken),
        stitching=constant(stitching(), 0.0),
        lip=constant(lip_retargeting(), LIP_SHIFT),
        eye=constant(eye_retargeting(), EYE_SHIFT),
        digests={"warping_module": "0" * 64},
    )


def tiny_animator(models=None, size=512, executor=None) -> LivePortrait:
    """LivePortrait with these networks, in float32 on the CPU."""
    return assemble(models, tiny_networks(), builder("eager", torch.device("cpu")), size=size, executor=executor)
