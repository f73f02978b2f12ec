"""Show the driver's own mouth inside the portrait's lips. Opt-in: it looks livelier, but shows the driver's pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import DrivingFrame, Picture
from pipeline.face.region import resample
from pipeline.meshwarp.canvas import sample
from pipeline.meshwarp.rasterizer import Window

Array = NDArray[np.float32]

CHEEKS = (50, 280, 101, 330, 205, 425, 116, 345)
GAIN_LIMITS = (0.45, 1.6)
CHROMA_SHARE = 0.35  # share of the skins' difference in tint that is applied, so that teeth stay white


def inside(driver: DrivingFrame, ring: tuple[int, ...], place: Array, window: Window, skin: Array) -> Array | None:
    """Return the driver's mouth (h, w, 3) float32 with its landmarks `ring` moved to `place` (n, 2) on the canvas.

    One affine map moves all of it, so that teeth stay straight. The light is adapted to `skin` (3,), the portrait's
    mean cheek colour. Return None if the driver shows no face.
    """
    if driver.face is None:
        return None
    own = driver.face.landmarks[:, :2]
    matrix = fit_affine(place - (window.left, window.top), own[list(ring)])
    return resample(driver.picture, matrix, window.width, window.height) * gain(
        skin_colour(driver.picture, own[list(CHEEKS)]), skin
    )


def fit_affine(source: Array, target: Array) -> Array:
    """Fit the affine map (2, 3) from (n, 2) source to (n, 2) target points by least squares."""
    rows = np.column_stack([source, np.ones(len(source))])
    return np.asarray(np.linalg.lstsq(rows, target, rcond=None)[0].T, np.float64)


def skin_colour(picture: Picture, points: Array) -> Array:
    """Return the mean colour (3,) at (n, 2) points in pixels."""
    return sample(picture, np.asarray(points - 0.5, np.float32)[None])[0].astype(np.float32).mean(0)


def gain(driver: Array, portrait: Array) -> Array:
    """Return the factors (3,) from the driver's light to the portrait's."""
    ratio = portrait / np.maximum(driver, 1)
    light = float(portrait.mean() / max(float(driver.mean()), 1))
    return np.clip(light + CHROMA_SHARE * (ratio - light), *GAIN_LIMITS).astype(np.float32)
