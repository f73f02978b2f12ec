"""The picture that a virtual camera promises. Imports no package: the command line takes its defaults from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Fit = Literal["pad", "crop"]  # all of the puppet, in the middle of black; or the middle of it, nothing black
FITS: tuple[Fit, ...] = get_args(Fit)


@dataclass(frozen=True)
class Framing:
    """Size, rate, and how pictures of another shape are put into it. Calls expect 16:9."""

    width: int = 1280  # pixels, even
    height: int = 720
    fit: Fit = "pad"
    fps: int = 30
