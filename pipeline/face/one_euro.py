"""The One-Euro filter: steady at rest, quick in motion. Casiez, Roussel, Vogel, CHI 2012."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

LONGEST_GAP = 0.5  # seconds; older values are ignored


class OneEuroFilter:
    """Filters arrays of one shape, element by element.

    The cutoff frequency (Hz) is `min_cutoff + beta * |speed|`, the speed being itself low-passed at `speed_cutoff` Hz.
    """

    def __init__(self, min_cutoff: float, beta: float, speed_cutoff: float) -> None:
        self._min_cutoff = np.float32(min_cutoff)
        self._beta = np.float32(beta)
        self._speed_cutoff = np.float32(speed_cutoff)
        self.reset()

    def reset(self) -> None:
        """Forget all values: the next one passes unchanged."""
        self._time = -math.inf
        self._value: Array | None = None
        self._speed: Array | None = None

    def __call__(self, value: Array, time: float, unit: float, gain: float) -> Array:
        """Return the filtered value at `time` (seconds). Speeds are in multiples of `unit` per second.

        `gain` scales the cutoff: above 1 is quicker, below 1 steadier. The filter starts again if time stands still,
        goes back, or jumps by more than LONGEST_GAP.
        """
        elapsed = time - self._time
        if self._value is None or self._speed is None or not 0 < elapsed <= LONGEST_GAP:
            self._time, self._value, self._speed = time, value, np.zeros_like(value)
            return value
        speed = (value - self._value) / np.float32(elapsed * unit)
        speed = self._speed + smoothing_factor(elapsed, self._speed_cutoff) * (speed - self._speed)
        cutoff = np.float32(gain) * (self._min_cutoff + self._beta * np.abs(speed))
        filtered = self._value + smoothing_factor(elapsed, cutoff) * (value - self._value)
        self._time, self._value, self._speed = time, filtered, speed
        return filtered


def smoothing_factor(elapsed: float, cutoff: Array | np.float32) -> Array:
    """Return the weight 0..1 of the newest value in an exponential filter with these cutoff frequencies (Hz)."""
    turn = np.asarray(cutoff * np.float32(2 * math.pi * elapsed))
    factor: Array = turn / (turn + 1)
    return factor
