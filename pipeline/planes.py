"""Pictures as decoders give and encoders want them: I420, BT.601, limited range (ITU-R BT.601-7)."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.animator import Layout, Picture, Planes


def to_planes(picture: Picture) -> Planes:
    """An odd last row or column is left out."""
    height, width = (side & ~1 for side in picture.shape[:2])
    return np.asarray(cv2.cvtColor(picture[:height, :width], cv2.COLOR_RGB2YUV_I420), np.uint8)


def to_picture(planes: Planes) -> Picture:
    """The RGB picture."""
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420), np.uint8)


def laid_out(picture: Picture, layout: Layout) -> Picture | Planes:
    """The picture itself, or its planes."""
    return to_planes(picture) if layout == "i420" else picture
