"""The pixel format of decoders and encoders: I420 in limited range (ITU-R BT.601-7)."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.core.animator import Layout, Picture, Planes


def to_planes(picture: Picture) -> Planes:
    """Convert a picture to planes; an odd last row or column is dropped."""
    height, width = (side & ~1 for side in picture.shape[:2])
    return np.asarray(cv2.cvtColor(picture[:height, :width], cv2.COLOR_RGB2YUV_I420), np.uint8)


def to_picture(planes: Planes) -> Picture:
    """Convert planes to an RGB picture."""
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420), np.uint8)


def laid_out(picture: Picture, layout: Layout) -> Picture | Planes:
    """Return the picture in this layout."""
    return to_planes(picture) if layout == "i420" else picture


def reduced(planes: Planes, share: float) -> Planes:
    """Scale planes by `share` in (0, 1], with sides that are multiples of 16: whole macroblocks."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    if share == 1:
        return planes
    size = [max(16, round(side * share / 16) * 16) for side in (width, height)]
    halves = [side // 2 for side in size]
    luma, chroma = planes[:height], planes[height:].reshape(2, height // 2, width // 2)
    parts = [cv2.resize(luma, size, interpolation=cv2.INTER_AREA)]
    parts += [cv2.resize(plane, halves, interpolation=cv2.INTER_AREA) for plane in chroma]
    return np.concatenate([part.ravel() for part in parts]).reshape(size[1] * 3 // 2, size[0])
