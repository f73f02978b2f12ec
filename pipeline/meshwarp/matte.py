"""Separate the person from the background: MediaPipe's selfie segmentation, refined along the picture's edges."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Picture
from pipeline.face.litert import LiteRtModel
from pipeline.meshwarp.curves import smoothstep

Mask = NDArray[np.float32]


class Segmenter:
    """The selfie segmentation network, 256 x 256; may be called from any thread."""

    def __init__(self, model: Path) -> None:
        self._network = LiteRtModel(model)
        self._lock = threading.Lock()

    def person(self, picture: Picture) -> Mask:
        """Return the probability (h, w), 0..1, that each pixel shows a person."""
        small = cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        with self._lock:
            raw = self._network(input_1=small[None])["activation_10"][0, ..., 0]
        return np.asarray(cv2.resize(raw, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def refine(picture: Picture, person: Mask, face: NDArray[np.float32]) -> tuple[Mask, float]:
    """Align the mask with the picture's edges and keep only the part connected to the face.

    The hull of the points `face` (n, 2) belongs to the person, except its rim. Return the person's share of each pixel,
    (h, w) in 0..1, and the uncertainty: the area of undecided pixels (0.25..0.75) over that of the person.
    """
    luminance = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    mixed = 0.7 * guided_filter(luminance, person, 8, 1e-3) + 0.3 * person
    alpha = smoothstep(0.22, 0.85, mixed)
    hull = cv2.convexHull(face.astype(np.float32)).astype(np.int32)
    inside = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, hull, 1)
    rim = 2 * round(0.04 * np.sqrt(cv2.contourArea(hull))) + 1  # along the hull's edge the matte is more accurate
    inside = np.asarray(cv2.erode(inside, np.ones((rim, rim), np.uint8)), np.uint8)
    alpha = np.maximum(alpha, cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 1.5) * (inside > 0))
    alpha *= _together(alpha, inside)
    undecided = float(((alpha > 0.25) & (alpha < 0.75)).sum())
    return alpha, undecided / max(1.0, float((alpha > 0.5).sum()))


def _together(alpha: Mask, seed: NDArray[np.uint8]) -> Mask:
    """Return 1 on the connected parts that touch the seed, 0 elsewhere."""
    _, labels = cv2.connectedComponents((alpha > 0.05).astype(np.uint8))
    touching = np.unique(labels[(seed > 0) & (labels > 0)])
    return np.isin(labels, touching).astype(np.float32)


def guided_filter(guide: Mask, source: Mask, radius: int, eps: float) -> Mask:
    """Smooth `source` along the edges of a gray `guide` (He, Sun and Tang, Guided Image Filtering, ECCV 2010)."""

    def mean(values: Mask) -> Mask:
        return np.asarray(cv2.blur(values, (2 * radius + 1, 2 * radius + 1)), np.float32)

    mean_guide, mean_source = mean(guide), mean(source)
    variance = mean(guide * guide) - mean_guide**2
    slope = (mean(guide * source) - mean_guide * mean_source) / (variance + eps)
    return mean(slope) * guide + mean(mean_source - slope * mean_guide)
