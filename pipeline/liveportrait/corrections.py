"""Correct driven keypoints with LivePortrait's small networks: stitching, eye and lip retargeting.

After Guo et al., arXiv:2407.03168, section 3.3, in the order of the official pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.core.options import AnimateOptions

OPEN_LIPS = 0.03  # lip ratio from which a source's mouth counts as open

Perceptron = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Correctors:
    """The three networks alone, so that whoever keeps them does not keep the large ones in memory."""

    stitching: Perceptron
    lip: Perceptron
    eye: Perceptron


@dataclass(frozen=True, eq=False)
class Ratios:
    """How open eyes and lips are, for B frames."""

    eyes: Tensor  # (B, 2): the eye at the left of the picture, then the other; 0 closed, about 0.35 open
    lip: Tensor  # (B, 1): 0 closed


def correct(
    networks: Correctors,
    options: AnimateOptions,
    source: Tensor,
    driven: Tensor,
    source_ratios: Ratios,
    driving_ratios: Ratios | None,
) -> Tensor:
    """Return the keypoints for the warping network, given the source's and the driven ones, all (B, 21, 3).

    Eye or lip retargeting, which needs `driving_ratios`, discards relative motion and copies only the openness.
    """
    source = source.expand_as(driven)
    if options.eye_retargeting or options.lip_retargeting:
        points = source if options.relative else driven
        points = points + _retargeting(networks, options, source, source_ratios, driving_ratios)
        points = stitch(networks.stitching, source, points) if options.stitching else points
    else:
        points = stitch(networks.stitching, source, driven) if options.stitching else driven
        if options.normalize_lip and options.relative:
            points = points + _closed_lips(networks, source, source_ratios)
    return source + (points - source) * options.driving_multiplier


def _retargeting(
    networks: Correctors, options: AnimateOptions, source: Tensor, ratios: Ratios, driving: Ratios | None
) -> Tensor:
    if driving is None:
        raise ValueError("Eye and lip retargeting need the driver's eye and lip ratios, and this motion has none.")
    offset = torch.zeros_like(source)
    if options.eye_retargeting:
        offset = offset + opening(networks.eye, source, ratios.eyes, driving.eyes[:, :1])
    if options.lip_retargeting:
        offset = offset + opening(networks.lip, source, ratios.lip, driving.lip)
    return offset


def stitch(network: Perceptron, source: Tensor, driven: Tensor) -> Tensor:
    """Move driven keypoints so that the head fits the source's shoulders; both (B, 21, 3)."""
    delta = network(torch.cat((source.flatten(1), driven.flatten(1)), 1))
    shift = torch.nn.functional.pad(delta[:, None, 63:], (0, 1))
    return driven + delta[:, :63].reshape(-1, 21, 3) + shift


def opening(network: Perceptron, source: Tensor, ratio: Tensor, target: Tensor) -> Tensor:
    """Return what to add, (B, 21, 3), to open the source's eyes or lips (the part that `network` opens) to `target`."""
    conditions = [value.expand(len(source), -1) for value in (ratio, target)]
    return network(torch.cat((source.flatten(1), *conditions), 1)).reshape(-1, 21, 3)


def _closed_lips(networks: Correctors, source: Tensor, ratios: Ratios) -> Tensor:
    """Return what to add, (B, 21, 3), to close the source's open mouth; zero for a closed one."""
    closing = opening(networks.lip, source, ratios.lip, torch.zeros_like(ratios.lip))
    return torch.where(ratios.lip[..., None] >= OPEN_LIPS, closing, 0.0)
