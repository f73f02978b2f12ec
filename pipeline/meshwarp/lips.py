"""Make the lips touch and part as the driver's do, and move the skin with them. All in cm in the head frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.face import groups
from pipeline.face.canonical import VERTICES
from pipeline.meshwarp.curves import smoothstep

Array = NDArray[np.float32]

CONTACT = 0.04  # cm by which touching lips are pressed together

INNER = (list(groups.LIPS_INNER_UPPER), list(groups.LIPS_INNER_LOWER))
RINGS = (  # (upper, lower, share of the inner ring's correction)
    (*INNER, 1.0),
    (list(groups.LIPS_SEMI_INNER_UPPER[1:-1]), list(groups.LIPS_SEMI_INNER_LOWER), 0.9),
    (list(groups.LIPS_SEMI_OUTER_UPPER[1:-1]), list(groups.LIPS_SEMI_OUTER_LOWER), 0.75),
    (list(groups.LIPS_OUTER_UPPER[1:-1]), list(groups.LIPS_OUTER_LOWER), 0.6),
)


def _gaps(shape: Array) -> Array:
    """Return (9,) cm between the inner lips, from right to left; negative where they overlap."""
    return shape[INNER[1], 1] - shape[INNER[0], 1]


def meet_lips(change: Array, source: Array, driver: Array, neutral: Array, tall: float) -> None:
    """Correct `change` in place so that the source's lips touch when the driver's do, and open as far.

    `tall` is the height of the source's lower face divided by the driver's.
    """
    gap, gap_driver, gap_neutral = _gaps(source), _gaps(driver), _gaps(neutral)
    opened = tall * np.maximum(gap_driver - gap_neutral, 0) + np.minimum(gap, 0.1)
    absolute = (gap > 0.25) | (gap_neutral > 0.25)  # an open source mouth must be able to close
    wanted = np.where(absolute, tall * gap_driver, opened)
    wanted = np.maximum(wanted - CONTACT, np.minimum(gap, 0))
    open_lips(change, wanted - _gaps(source + change))


def part_lips(change: Array, source: Array) -> None:
    """Remove any overlap of the lips, in place."""
    open_lips(change, np.maximum(0, -_gaps(source + change)))


def open_lips(change: Array, more: Array) -> None:
    """Part the inner lips by `more` (9,) cm in the displacements (478, 3), in place; the skin around them follows."""
    change[:468, 1] += LIP_SPREAD @ more


def smooth_skin(change: Array) -> None:
    """Make the skin between the lips and the nose or chin follow the lips, in place.

    The tracker moves the lips further than the skin around them, which would fold, and the chin too little.
    """
    upper, lower = (PAIRS @ change[ring, 1] for ring in RINGS[-1][:2])
    chin = change[groups.CHIN, 1] + CHIN_GAIN * np.maximum(0, lower - change[groups.CHIN, 1])
    y = change[:468, 1]
    y += ASIDE * (BELOW >= 0) * np.maximum(0, BELOW * lower + (1 - BELOW) * chin - y)
    y += ASIDE * (ABOVE > 0) * np.minimum(0, ABOVE * upper + (1 - ABOVE) * change[2, 1] - y)


def _pairs() -> Array:
    """Return (468, 9) weights of each landmark's two nearest lip positions, out of nine from right to left."""
    columns = np.array([VERTICES[list(pair), 0].mean() for pair in zip(*INNER, strict=True)], np.float32)
    nearest = np.interp(VERTICES[:, 0], columns, np.arange(9))
    return np.maximum(0, 1 - np.abs(nearest[:, None] - np.arange(9))).astype(np.float32)


def _skin() -> tuple[Array, Array]:
    """Return two (468,): 1 at the lips' edge, 0 at the nose (above) or at and below the chin (below); -1 elsewhere."""
    x, y = VERTICES[:, 0], VERTICES[:, 1]
    upper, lower = (np.interp(x, VERTICES[ring, 0], VERTICES[ring, 1]) for ring in RINGS[-1][:2])
    nose, chin = VERTICES[2, 1], VERTICES[groups.CHIN, 1]
    above = np.where(y <= upper, np.clip((y - nose) / (upper - nose), 0, 1), -1)
    below = np.where(y >= lower, np.clip((chin - y) / (chin - lower), 0, 1), -1)
    above[list(groups.LIPS)] = below[list(groups.LIPS)] = -1
    return above.astype(np.float32), below.astype(np.float32)


def _lip_spread() -> Array:
    """Return (468, 9): cm that each landmark moves down when each of nine pairs of inner lip points parts by 1 cm."""
    outer = RINGS[-1][2] * ASIDE * (0.65 * np.maximum(BELOW, 0) - 0.35 * np.maximum(ABOVE, 0))
    spread = outer[:, None] * PAIRS
    for upper, lower, share in RINGS:
        spread[upper], spread[lower] = -0.35 * share * np.eye(9), 0.65 * share * np.eye(9)
    return spread.astype(np.float32)


CHIN_GAIN = 0.45  # share of the chin's lag behind the lower lip that is added
PAIRS = _pairs()
ABOVE, BELOW = _skin()
ASIDE = 1 - smoothstep(2.0, 5.0, np.abs(VERTICES[:, 0]))
LIP_SPREAD = _lip_spread()
