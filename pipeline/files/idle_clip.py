"""Render a looping clip of a portrait that breathes and blinks, shown on the page before anyone drives it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from pipeline.core.animator import Animator, Cue, Picture, Portrait
from pipeline.core.options import AnimateOptions
from pipeline.driving.idle import BREATH_SECONDS, idle
from pipeline.files.animate import COMMENT
from pipeline.files.video import VideoWriter

SECONDS = 2 * BREATH_SECONDS
RATE = 20
EASE_SECONDS = 1.0  # the clip starts and ends at rest, so that it loops without a jump
SLOWEST = 0.2  # seconds per picture; with a slower animator the clip is not worth the wait


class TooSlow(RuntimeError):
    """The animator would need minutes to draw the clip."""


def write_idle_loop(path: Path, animator: Animator, portrait: Portrait) -> None:
    """Write 8.4 seconds of the idle portrait to an .mp4. Raise TooSlow if the first picture takes over 0.2 s."""
    with VideoWriter(path, Fraction(RATE), Fraction(1, RATE), COMMENT) as video:
        for number, picture in enumerate(_pictures(animator, portrait)):
            video.write(picture, number)


def _pictures(animator: Animator, portrait: Portrait) -> Iterator[Picture]:
    for number in range(round(SECONDS * RATE)):
        begin = time.perf_counter()
        yield animator.animate([cue_at(portrait, number / RATE)])[0]
        if number == 0 and time.perf_counter() - begin > SLOWEST:
            raise TooSlow


def cue_at(portrait: Portrait, seconds: float) -> Cue:
    """Return the cue to draw `seconds` after the start of the clip."""
    weight = min(1.0, seconds / EASE_SECONDS, (SECONDS - seconds) / EASE_SECONDS)
    return Cue(portrait, AnimateOptions(), idle=idle(seconds, weight))
