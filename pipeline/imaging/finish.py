"""The last step of an animator that draws on the host: mirror, badge, layout."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from pipeline.core.animator import Layout, Picture, Planes
from pipeline.imaging import badge
from pipeline.imaging.i420 import laid_out


class FinishOptions(Protocol):
    """The options that this step follows; AnimateOptions has them."""

    @property
    def mirror(self) -> bool: ...

    @property
    def badge(self) -> bool: ...


def finish(picture: Picture, options: FinishOptions, layout: Layout = "rgb") -> Picture | Planes:
    """Return the drawn picture mirrored and marked as `options` say, in this layout. May write into `picture`."""
    if options.mirror:
        picture = np.ascontiguousarray(picture[:, ::-1])
    if options.badge:  # last, so that it can be read
        badge.draw(picture)
    return laid_out(picture, layout)
