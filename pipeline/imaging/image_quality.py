"""How far a picture is from another one: PSNR, SSIM and the distance of landmarks."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.core.animator import Picture
from pipeline.face.face import Face

SIGMA, WINDOW = 1.5, 11  # pixels, of the Gaussian window
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
OUTER_CORNERS = (33, 263)  # of the eyes, in the face mesh


def psnr(found: ArrayLike, reference: ArrayLike, peak: float = 255) -> float | None:
    """Return the peak signal-to-noise ratio in dB of pictures whose values reach `peak`; None if they are equal."""
    error = float(np.square(np.asarray(found, np.float64) - np.asarray(reference, np.float64)).mean())
    return 10 * math.log10(peak**2 / error) if error else None


def ssim(picture: Picture, reference: Picture) -> float:
    """Return the structural similarity in -1..1, 1 if equal (Wang et al., "Image quality assessment", 2004).

    It is the mean over the channels, and over all pixels whose window lies inside.
    """
    x, y = picture.astype(np.float64), reference.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    variances = _blurred(x * x) - mean_x**2 + _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (variances + C2)
    return float((light * structure).mean())


def landmark_error(seen: Face, reference: Face) -> float:
    """Return the mean distance in percent of that between the eyes' outer corners (300-W; Sagonas et al., 2016)."""
    left, right = (reference.landmarks[corner, :2] for corner in OUTER_CORNERS)
    offsets = np.linalg.norm(seen.landmarks[:, :2] - reference.landmarks[:, :2], axis=1)
    return float(100 * offsets.mean() / np.linalg.norm(left - right))


def _blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    edge = WINDOW // 2
    return cv2.GaussianBlur(values, (WINDOW, WINDOW), SIGMA)[edge:-edge, edge:-edge]
