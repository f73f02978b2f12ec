"""Effects on what is shown: the frozen portrait, and the cross-fade from one portrait to the next."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from pipeline.core.animator import Animator, Cue, Planes, Portrait

FADE_SECONDS = 0.15


class Freeze:
    """Freezes the portrait, whatever its driver does. For one thread; any thread may set `wanted`."""

    def __init__(self) -> None:
        self.wanted = False
        self._cue: Cue | None = None

    def apply(self, cue: Cue) -> Cue:
        """Return `cue`; while frozen, the first cue since then, with the present portrait and options."""
        self._cue = (self._cue or cue) if self.wanted else None
        return replace(self._cue, portrait=cue.portrait, options=cue.options) if self._cue else cue


class CrossFade:
    """Draws cues. While the portrait changes, it mixes pictures of the old and the new one. For one thread."""

    def __init__(self, animator: Animator) -> None:
        self._animator = animator
        self._portrait: Portrait | None = None
        self._before: Portrait | None = None  # the old portrait, while the new one fades in
        self._start = 0.0

    def draw(self, cue: Cue, time: float) -> Planes:
        """Return the picture of `cue` at `time` (seconds)."""
        if self._portrait is not None and self._portrait is not cue.portrait:
            self._before, self._start = self._portrait, time
        self._portrait = cue.portrait
        share = (time - self._start) / FADE_SECONDS
        if self._before is None or share >= 1:
            self._before = None
            [shown] = self._animator.animate([cue], "i420")
            return shown
        before, after = self._animator.animate([replace(cue, portrait=self._before), cue], "i420")
        return mixed(before, after, share)


def mixed(before: Planes, after: Planes, share: float) -> Planes:
    """Return `share` (0..1) of the way from `before` to `after`; `after` if the two differ in size."""
    if before.shape != after.shape:
        return after
    return np.asarray(cv2.addWeighted(before, 1 - share, after, share, 0), np.uint8)
