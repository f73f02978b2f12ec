"""The format of a virtual camera's picture. Imports no package: the command line takes its defaults from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Fit = Literal["pad", "crop"]  # the whole puppet with black borders; or its middle without borders
FITS: tuple[Fit, ...] = get_args(Fit)


@dataclass(frozen=True)
class Framing:
    """Size and rate, and how pictures of another shape are fitted. Video calls expect 16:9."""

    width: int = 1280  # pixels, even
    height: int = 720
    fit: Fit = "pad"
    fps: int = 30
