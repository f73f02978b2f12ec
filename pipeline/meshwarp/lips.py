"""Lips that touch and part as the driver's do, and the skin that goes with them. All in cm of the head's frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.face import groups
from pipeline.face.canonical import VERTICES
from pipeline.meshwarp.curves import smoothstep

Array = NDArray[np.float32]

CONTACT = 0.04  # cm that lips which should touch are pressed together

INNER = (list(groups.LIPS_INNER_UPPER), list(groups.LIPS_INNER_LOWER))
RINGS = (  # (upper, lower, share of the correction of the inner ring)
    (*INNER, 1.0),
    (list(groups.LIPS_SEMI_INNER_UPPER[1:-1]), list(groups.LIPS_SEMI_INNER_LOWER), 0.9),
    (list(groups.LIPS_SEMI_OUTER_UPPER[1:-1]), list(groups.LIPS_SEMI_OUTER_LOWER), 0.75),
    (list(groups.LIPS_OUTER_UPPER[1:-1]), list(groups.LIPS_OUTER_LOWER), 0.6),
)


def _gaps(shape: Array) -> Array:
    """(9,) cm between the inner lips, from right to left; negative where they overlap."""
    return shape[INNER[1], 1] - shape[INNER[0], 1]


def meet_lips(change: Array, source: Array, driver: Array, neutral: Array, tall: float) -> None:
    """Correct `change` so that the source's lips touch when the driver's do, and open as far.

    `tall`: the height of the source's lower face over the driver's.
    """
    gap, gap_driver, gap_neutral = _gaps(source), _gaps(driver), _gaps(neutral)
    opened = tall * np.maximum(gap_driver - gap_neutral, 0) + np.minimum(gap, 0.1)
    absolute = (gap > 0.25) | (gap_neutral > 0.25)  # an open source mouth must be able to close
    wanted = np.where(absolute, tall * gap_driver, opened)
    wanted = np.maximum(wanted - CONTACT, np.minimum(gap, 0))
    open_lips(change, wanted - _gaps(source + change))


def part_lips(change: Array, source: Array) -> None:
    """Undo an overlap of the lips."""
    open_lips(change, np.maximum(0, -_gaps(source + change)))


def open_lips(change: Array, more: Array) -> None:
    """Add to the displacements (478, 3) what parts the inner lips by `more` (9,) cm, in place; skin around follows."""
    change[:468, 1] += LIP_SPREAD @ more


def smooth_skin(change: Array) -> None:
    """Let the skin between lips and nose or chin follow the lips, in place.

    The tracker sees lips move further than the skin around them, which would fold; and the chin less than it does.
    """
    upper, lower = (PAIRS @ change[ring, 1] for ring in RINGS[-1][:2])
    chin = change[groups.CHIN, 1] + CHIN_GAIN * np.maximum(0, lower - change[groups.CHIN, 1])
    y = change[:468, 1]
    y += ASIDE * (BELOW >= 0) * np.maximum(0, BELOW * lower + (1 - BELOW) * chin - y)
    y += ASIDE * (ABOVE > 0) * np.minimum(0, ABOVE * upper + (1 - ABOVE) * change[2, 1] - y)


def _pairs() -> Array:
    """(468, 9): each landmark as a mix of the two nearest of the nine lip positions from right to left."""
    columns = np.array([VERTICES[list(pair), 0].mean() for pair in zip(*INNER, strict=True)], np.float32)
    nearest = np.interp(VERTICES[:, 0], columns, np.arange(9))
    return np.maximum(0, 1 - np.abs(nearest[:, None] - np.arange(9))).astype(np.float32)


def _skin() -> tuple[Array, Array]:
    """(468,) each: 1 at the lips' edge, 0 at the nose (above) or at the chin and beyond (below); -1 elsewhere."""
    x, y = VERTICES[:, 0], VERTICES[:, 1]
    upper, lower = (np.interp(x, VERTICES[ring, 0], VERTICES[ring, 1]) for ring in RINGS[-1][:2])
    nose, chin = VERTICES[2, 1], VERTICES[groups.CHIN, 1]
    above = np.where(y <= upper, np.clip((y - nose) / (upper - nose), 0, 1), -1)
    below = np.where(y >= lower, np.clip((chin - y) / (chin - lower), 0, 1), -1)
    above[list(groups.LIPS)] = below[list(groups.LIPS)] = -1
    return above.astype(np.float32), below.astype(np.float32)


def _lip_spread() -> Array:
    """(468, 9): how far each landmark moves down when the nine pairs of inner lips part by 1 cm."""
    outer = RINGS[-1][2] * ASIDE * (0.65 * np.maximum(BELOW, 0) - 0.35 * np.maximum(ABOVE, 0))
    spread = outer[:, None] * PAIRS
    for upper, lower, share in RINGS:
        spread[upper], spread[lower] = -0.35 * share * np.eye(9), 0.65 * share * np.eye(9)
    return spread.astype(np.float32)


CHIN_GAIN = 0.45  # of what the chin lags behind the lower lip
PAIRS = _pairs()
ABOVE, BELOW = _skin()
ASIDE = 1 - smoothstep(2.0, 5.0, np.abs(VERTICES[:, 0]))
LIP_SPREAD = _lip_spread()
