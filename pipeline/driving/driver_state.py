"""One driver over time: decide from the tracked motion what to show. Times are passed in, in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pipeline.core.animator import Cue, Motion, Picture, Portrait
from pipeline.core.options import AnimateOptions
from pipeline.driving.calibration import Calibration
from pipeline.driving.idle import idle

EASE_IN_SECONDS = 0.2
EASE_OUT_SECONDS = 0.5

State = Literal["waiting", "calibrating", "live", "lost"]


class DriverState:
    """Eases the portrait in when a face is there and back to rest when it is lost; keeps the driver's neutral."""

    def __init__(self) -> None:
        self._calibration = Calibration()
        self._following = 0.0  # linear, 0..1; eased when shown
        self.motion: Motion | None = None  # the newest; None before the first
        self._held = False
        self._start: float | None = None
        self._time = 0.0

    @classmethod
    def rehearsed(cls, motions: Sequence[Motion]) -> DriverState:
        """Return the state for a file: it follows at once, with a neutral from the file's first motions."""
        state = cls()
        state._calibration.choose(motions)
        state._following = 1.0
        return state

    @property
    def state(self) -> State:
        """Return waiting (no face yet), calibrating (the neutral is not settled), live, or lost (the face is gone)."""
        if self.motion is None:
            return "waiting"
        if not self._held:
            return "lost"
        return "calibrating" if self._calibration.running else "live"

    def calibrate(self) -> None:
        """Choose a new neutral from the next moments."""
        self._calibration.restart()

    def cue(
        self,
        portrait: Portrait,
        options: AnimateOptions,
        motion: Motion | None,
        time: float,
        driver: Picture | None = None,
    ) -> Cue:
        """Return what to show at `time`, given the motion of the newest frame (None: no face, or no frame)."""
        self._advance(motion is not None, time)
        if motion is not None:
            self.motion = motion
            self._calibration.observe(motion, time)
        blend = _smooth(self._following)
        return Cue(
            portrait=portrait,
            options=options,
            motion=self.motion,
            reference=self._calibration.reference,
            blend=blend,
            idle=idle(time - (self._start or 0.0), 1 - blend),
            driver=driver if options.driver_mouth and motion is not None else None,
        )

    def _advance(self, held: bool, time: float) -> None:
        if self._start is None:
            self._start = self._time = time
        step, self._time, self._held = max(0.0, time - self._time), time, held
        change = step / EASE_IN_SECONDS if held else -step / EASE_OUT_SECONDS
        self._following = min(1.0, max(0.0, self._following + change))


def _smooth(x: float) -> float:
    return x * x * (3 - 2 * x)
