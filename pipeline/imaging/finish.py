"""The last step of an animator that draws on the host: mirror, badge, layout."""

from __future__ import annotations

import numpy as np

from pipeline.core.animator import Layout, Picture, Planes
from pipeline.imaging import badge
from pipeline.imaging.i420 import laid_out


def finish(picture: Picture, mirror: bool, mark: bool, layout: Layout = "rgb") -> Picture | Planes:
    """Return the drawn picture, mirrored and marked with the badge if asked, in this layout. May write into it."""
    if mirror:
        picture = np.ascontiguousarray(picture[:, ::-1])
    if mark:  # last, so that it can be read
        badge.draw(picture)
    return laid_out(picture, layout)
