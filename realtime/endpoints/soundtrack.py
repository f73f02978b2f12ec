"""The voice of a recording: one continuous line of samples, in step with the pictures."""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

RATE = 48000  # samples per second
JITTER = RATE // 50  # samples by which a time may be off and is ignored: frames follow each other

Samples = NDArray[np.float32]
"""(2, n): left and right, -1..1."""


def shift(position: int, wanted: int, tolerance: int) -> int:
    """Return by how many samples to shift sound that should begin at `wanted`, in a line of `position` samples.

    Positive: silence to insert. Negative: samples to leave out. 0 if the difference is within `tolerance`.
    """
    return wanted - position if abs(wanted - position) > tolerance else 0


class Soundtrack:
    """Places sound by its time; gaps become silence, and sound that comes too late is left out."""

    def __init__(self) -> None:
        self._resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE)
        self._unbroken = False
        self.position = 0  # samples returned so far

    def add(self, audio: av.AudioFrame, seconds: float) -> Samples:
        """Return the next samples of the line, with `audio` at `seconds`."""
        parts = [np.asarray(frame.to_ndarray(), np.float32) for frame in self._resampler.resample(audio)]
        heard = np.concatenate(parts, 1) if parts else np.zeros((2, 0), np.float32)
        missing = shift(self.position, round(seconds * RATE), JITTER if self._unbroken else 0)
        line = np.pad(heard[:, max(0, -missing) :], ((0, 0), (max(0, missing), 0)))
        self._unbroken = line.shape[1] > 0
        self.position += line.shape[1]
        return line

    def until(self, seconds: float) -> Samples:
        """Return silence up to `seconds`, if the line does not reach it yet."""
        missing = max(0, round(seconds * RATE) - self.position)
        self._unbroken = self._unbroken and not missing
        self.position += missing
        return np.zeros((2, missing), np.float32)
