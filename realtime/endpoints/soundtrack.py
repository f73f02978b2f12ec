"""A driver's voice in a recording: one unbroken line of samples, in step with the pictures."""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

RATE = 48000  # samples per second
TREMBLE = RATE // 50  # samples that a time may be off before it is believed: frames come one after the other

Samples = NDArray[np.float32]
"""(2, n): left and right, -1..1."""


def shift(position: int, wanted: int, tolerance: int) -> int:
    """By how many samples what is to begin at `wanted` must move the line, which has `position`: 0 where nearly there.

    Positive: silence to add. Negative: samples to leave out.
    """
    return wanted - position if abs(wanted - position) > tolerance else 0


class Soundtrack:
    """Places what is heard by its time; gaps become silence, what comes too late is left out."""

    def __init__(self) -> None:
        self._resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE)
        self._unbroken = False
        self.position = 0  # samples given so far

    def add(self, audio: av.AudioFrame, seconds: float) -> Samples:
        """The next samples of the line, with `audio` at its `seconds`."""
        parts = [np.asarray(frame.to_ndarray(), np.float32) for frame in self._resampler.resample(audio)]
        heard = np.concatenate(parts, 1) if parts else np.zeros((2, 0), np.float32)
        missing = shift(self.position, round(seconds * RATE), TREMBLE if self._unbroken else 0)
        line = np.pad(heard[:, max(0, -missing) :], ((0, 0), (max(0, missing), 0)))
        self._unbroken = line.shape[1] > 0
        self.position += line.shape[1]
        return line

    def until(self, seconds: float) -> Samples:
        """Silence up to `seconds`, where nothing was heard until then."""
        missing = max(0, round(seconds * RATE) - self.position)
        self._unbroken = self._unbroken and not missing
        self.position += missing
        return np.zeros((2, missing), np.float32)
