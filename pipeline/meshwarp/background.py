"""Fill in the background behind the person, and remove it from the person's own colours."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Picture
from pipeline.meshwarp.curves import smoothstep
from pipeline.meshwarp.matte import Mask

Colours = NDArray[np.float32]


def fill_behind(picture: Picture, alpha: Mask, unit: float) -> Picture:
    """Remove the person: mirror the background at the matte's edge, fading to a smooth, grainy fill further inside.

    `unit` is picture pixels per pixel of a 512 canvas. The matte is grown by 10.5 units so that no fringe remains.
    """
    side = 2 * round(10.5 * unit) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    hole = cv2.dilate((alpha > 0.02).astype(np.uint8), disc) > 0
    if not hole.any() or hole.all():
        return picture
    colours = picture.astype(np.float32)
    smooth = diffuse(colours, 1 - hole.astype(np.float32))
    mirrored, valid = _mirror(colours, hole, unit)
    mirrored = _without_outliers(mirrored, smooth, hole)
    smooth += _grain(colours, hole)
    distance = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5)
    share = (valid * (1 - smoothstep(50 * unit, 110 * unit, distance)))[..., None]
    filled = share * mirrored + (1 - share) * smooth
    edge = smoothstep(0, 3 * unit, distance)[..., None]
    return np.clip(edge * filled + (1 - edge) * colours + 0.5, 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def plain(colour: str, size: int) -> NDArray[np.uint8]:
    """Return a background (size, size, 4) of one `colour`, "#rrggbb"."""
    return np.full((size, size, 4), (*bytes.fromhex(colour[1:]), 255), np.uint8)


def own_colours(picture: Picture, behind: Picture, alpha: Mask) -> Picture:
    """Solve picture = alpha F + (1 - alpha) behind for the person's colours F, kept close to the colours inside."""
    colours = picture.astype(np.float32)
    inside = diffuse(colours, smoothstep(0.9, 1.0, alpha))
    a = alpha[..., None]
    solved = (colours - (1 - a) * behind) / np.maximum(a, 0.05)
    solved = np.clip(solved, inside - 70, inside + 70)
    trust = smoothstep(0.1, 0.6, alpha)[..., None]
    return np.clip(trust * solved + (1 - trust) * inside + 0.5, 0, 255).astype(np.uint8)


def diffuse(colours: Colours, weight: Mask) -> Colours:
    """Fill pixels of weight 0 with the colours around, by push-pull (Gortler et al., The Lumigraph, SIGGRAPH 1996)."""
    height, width = weight.shape
    known = np.dstack([colours * weight[..., None], weight]).astype(np.float32)
    if min(height, width) <= 2:
        total = known.reshape(-1, 4).sum(0)
        return np.broadcast_to(total[:3] / max(float(total[3]), 1e-6), colours.shape).astype(np.float32)
    small = cv2.pyrDown(known)
    coarse = diffuse(small[..., :3] / np.maximum(small[..., 3:], 1e-6), np.minimum(small[..., 3] * 4, 1))
    wide = cv2.pyrUp(coarse, dstsize=(width, height))
    return weight[..., None] * colours + (1 - weight[..., None]) * wide


def _mirror(colours: Colours, hole: NDArray[np.bool_], unit: float) -> tuple[Colours, Mask]:
    """Reflect each hole pixel at its nearest background pixel; return the colours, and 1 where that is background."""
    y, x = np.mgrid[: hole.shape[0], : hole.shape[1]].astype(np.float32)
    here = np.dstack([x, y])
    jump = cv2.GaussianBlur(2 * (nearest_outside(hole) - here), (0, 0), 4 * unit)
    place = here + jump
    mirrored = cv2.remap(colours, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    valid = cv2.remap((~hole).astype(np.float32), place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return mirrored, cv2.GaussianBlur(smoothstep(0.5, 1.0, valid), (0, 0), 2 * unit)


def nearest_outside(hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return (h, w, 2): x and y of the nearest pixel outside the hole, for each pixel. Some pixel must be outside."""
    _, labels = cv2.distanceTransformWithLabels(hole.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    rows, columns = np.nonzero(~hole)
    nearest = np.zeros((int(labels.max()) + 1, 2), np.float32)
    nearest[labels[rows, columns]] = np.stack([columns, rows], 1)
    return np.asarray(nearest[labels], np.float32)


def _without_outliers(mirrored: Colours, smooth: Colours, hole: NDArray[np.bool_]) -> Colours:
    """Limit unusually strong mirrored detail: a stray line of clothing does not belong to the background."""
    detail = mirrored - smooth
    limit = 10 + 2.5 * float(np.median(np.abs(detail[hole])))
    return smooth + limit * np.tanh(detail / limit)


def _grain(colours: Colours, hole: NDArray[np.bool_]) -> Colours:
    """Return noise as strong as the finest detail around, so that the fill does not look smeared."""
    fine = colours - cv2.GaussianBlur(colours, (0, 0), 1.2)
    sigma = 1.4826 * np.median(np.abs(fine[~hole]), axis=0)
    noise = np.random.default_rng(0).normal(0, 1, (*hole.shape, 1)).astype(np.float32)
    return noise * sigma.astype(np.float32) * hole[..., None]
