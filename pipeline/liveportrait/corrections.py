"""Correct driven keypoints with LivePortrait's small networks: stitching, eye and lip retargeting.

After Guo et al., arXiv:2407.03168, section 3.3, in the order of the official pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

OPEN_LIPS = 0.03  # lip ratio from which a source's mouth counts as open
CLOSED_EYES, OPEN_EYES = 0.18, 0.39  # a source video's eyes below the first count as closed, and open to the second

Perceptron = Callable[[Tensor], Tensor]


class Correctors(Protocol):
    """The three small networks; `checkpoint.Networks` has them."""

    @property
    def stitching(self) -> Perceptron: ...

    @property
    def lip(self) -> Perceptron: ...

    @property
    def eye(self) -> Perceptron: ...


@dataclass(frozen=True, eq=False)
class Perceptrons:
    """The three networks alone, so that whoever keeps them does not keep the large ones in memory."""

    stitching: Perceptron
    lip: Perceptron
    eye: Perceptron

    @classmethod
    def of(cls, networks: Correctors) -> Perceptrons:
        return cls(networks.stitching, networks.lip, networks.eye)


@dataclass(frozen=True, eq=False)
class Ratios:
    """How open eyes and lips are, for B frames."""

    eyes: Tensor  # (B, 2): the eye at the left of the picture, then the other; 0 closed, about 0.35 open
    lip: Tensor  # (B, 1): 0 closed


@dataclass(frozen=True)
class Corrections:
    """Which corrections to make. Eye or lip retargeting discards relative motion and copies only the openness."""

    stitching: bool = True
    normalize_lip: bool = False  # close the source's mouth if it is open
    eye_retargeting: bool = False
    lip_retargeting: bool = False
    multiplier: float = 1.0  # how far the keypoints move


def correct(
    networks: Correctors,
    corrections: Corrections,
    source: Tensor,
    driven: Tensor,
    source_ratios: Ratios,
    driving_ratios: Ratios | None,
    relative: bool,
    target: Tensor | None = None,
) -> Tensor:
    """Return the keypoints for the warping network, given the source's and the driven ones, all (B, 21, 3).

    `driving_ratios` may be None without retargeting. `target` (B, 1) is how open the eyes of a source video should be.
    """
    source = source.expand_as(driven)
    if corrections.eye_retargeting or corrections.lip_retargeting:
        points = source if relative else driven
        points = points + _retargeting(networks, corrections, source, source_ratios, driving_ratios)
        points = stitch(networks, source, points) if corrections.stitching else points
    else:
        points = stitch(networks, source, driven) if corrections.stitching else driven
        if corrections.normalize_lip and relative:
            points = points + lip_normalization(networks, source, source_ratios)
        if target is not None:
            points = points + eye_offset(networks, source, source_ratios, target)
    return source + (points - source) * corrections.multiplier


def _retargeting(
    networks: Correctors, corrections: Corrections, source: Tensor, ratios: Ratios, driving: Ratios | None
) -> Tensor:
    if driving is None:
        raise ValueError("Eye and lip retargeting need the driver's eye and lip ratios, and this motion has none.")
    offset = torch.zeros_like(source)
    if corrections.eye_retargeting:
        offset = offset + eye_offset(networks, source, ratios, driving.eyes[:, :1])
    if corrections.lip_retargeting:
        offset = offset + lip_offset(networks, source, ratios, driving.lip)
    return offset


def stitch(networks: Correctors, source: Tensor, driven: Tensor) -> Tensor:
    """Move driven keypoints so that the head fits the source's shoulders; both (B, 21, 3)."""
    delta = networks.stitching(torch.cat((source.flatten(1), driven.flatten(1)), 1))
    shift = torch.nn.functional.pad(delta[:, None, 63:], (0, 1))
    return driven + delta[:, :63].reshape(-1, 21, 3) + shift


def eye_offset(networks: Correctors, source: Tensor, ratios: Ratios, target: Tensor) -> Tensor:
    """Return what to add, (B, 21, 3), to open the source's eyes to the ratio `target` (B, 1)."""
    return _offset(networks.eye, source, ratios.eyes, target)


def lip_offset(networks: Correctors, source: Tensor, ratios: Ratios, target: Tensor) -> Tensor:
    """Return what to add, (B, 21, 3), to open the source's lips to the ratio `target` (B, 1)."""
    return _offset(networks.lip, source, ratios.lip, target)


def _offset(network: Perceptron, source: Tensor, ratio: Tensor, target: Tensor) -> Tensor:
    conditions = [value.expand(len(source), -1) for value in (ratio, target)]
    return network(torch.cat((source.flatten(1), *conditions), 1)).reshape(-1, 21, 3)


def lip_normalization(networks: Correctors, source: Tensor, ratios: Ratios) -> Tensor:
    """Return what to add, (B, 21, 3), to close the source's open mouth; zero for a closed one."""
    closing = lip_offset(networks, source, ratios, torch.zeros_like(ratios.lip))
    return torch.where(ratios.lip[..., None] >= OPEN_LIPS, closing, 0.0)


def eye_target(first: Ratios) -> Tensor:
    """Return how open a source video's eyes should be, (1, 1): as in its first frame, but not closed."""
    mean = first.eyes[:1].mean(1, keepdim=True)
    return torch.where(mean < CLOSED_EYES, OPEN_EYES, mean)
