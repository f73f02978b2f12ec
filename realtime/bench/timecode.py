"""Write a number into a picture, and read it back after video codecs: two rows of 16 black and white cells at the top.

The upper row is the number, the lower its CRC-16 (CCITT), most significant bit first. The CRC detects damage of
up to three cells always, and other damage except once in 65536 times. `latency.js` does the same for pages.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Animator, Cue, DrivingFrame, Layout, Motion, Picture, Planes

COLUMNS, ROWS = 16, 2
NUMBERS = 1 << COLUMNS  # then the numbers start again
ROW_SHARE = 32  # rows in the height of the picture
BLACK, GRAY, WHITE = 16, 128, 235  # limited range (ITU-R BT.601)
THRESHOLD = 126

Cells = NDArray[np.bool_]


def to_cells(number: int) -> Cells:
    """Return the cells (2, 16) of a number 0..65535; True is white."""
    data = number.to_bytes(2, "big")
    coded = data + binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")
    return np.unpackbits(np.frombuffer(coded, np.uint8)).reshape(ROWS, COLUMNS).astype(bool)


def from_cells(cells: Cells) -> int | None:
    """Return the number in the cells; None if a cell is damaged or there is no code."""
    coded = np.packbits(cells).tobytes()
    intact = binascii.crc_hqx(coded[:2], 0xFFFF).to_bytes(2, "big") == coded[2:]
    return int.from_bytes(coded[:2], "big") if intact else None


def write(planes: Planes, number: int) -> None:
    """Write `number` into the top sixteenth of `planes` (at least 64 x 64), in place."""
    height, width = luma(planes).shape
    rows, columns = _edges(height, width)
    levels = np.where(to_cells(number), WHITE, BLACK).astype(np.uint8)
    planes[: rows[-1]] = np.repeat(np.repeat(levels, np.diff(rows), 0), np.diff(columns), 1)
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    chroma[:, : (rows[-1] + 1) // 2] = GRAY


def read(planes: Planes) -> int | None:
    """Return the number at the top of `planes`; None if it is damaged or there is none."""
    return _read(luma(planes))


def luma(planes: Planes) -> NDArray[np.uint8]:
    """Return the (height, width) plane of `planes`."""
    return planes[: planes.shape[0] * 2 // 3]


def _read(plane: NDArray[np.uint8]) -> int | None:
    """Read a luma plane, or the green channel of an RGB picture."""
    rows, columns = _edges(*plane.shape)
    sums = np.add.reduceat(plane[: rows[-1]], rows[:-1], 0, np.int64)
    means = np.add.reduceat(sums, columns[:-1], 1) / np.outer(np.diff(rows), np.diff(columns))
    return from_cells(means > THRESHOLD)


def _edges(height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the rows and columns of cells begin, and where the last one ends."""
    rows = np.arange(ROWS + 1) * (height // ROW_SHARE)
    return rows, np.arange(COLUMNS + 1) * width // COLUMNS


class CodeCarrier:
    """An animator whose pictures carry the code of the driving frame whose motion they show."""

    def __init__(self, animator: Animator) -> None:
        self._animator = animator
        self._numbers: WeakKeyDictionary[Motion, int] = WeakKeyDictionary()
        self.name, self.supports, self.capabilities = animator.name, animator.supports, animator.capabilities
        self.warm_up, self.prepare = animator.warm_up, animator.prepare
        self.seen: dict[float, int | None] = {}  # the number in each frame, by the frame's time

    def read_motion(self, frames: Sequence[DrivingFrame]) -> list[Motion | None]:
        motions = self._animator.read_motion(frames)
        for frame, motion in zip(frames, motions, strict=True):
            number = self.seen[frame.time] = _read(frame.picture[..., 1])
            if motion is not None and number is not None:
                self._numbers[motion] = number
        return motions

    def animate(self, cues: Sequence[Cue], layout: Layout = "rgb") -> list[Picture]:
        pictures = self._animator.animate(cues, layout)
        if layout == "rgb":  # a portrait at rest for the page
            return pictures
        return [self._marked(picture, cue.motion) for picture, cue in zip(pictures, cues, strict=True)]

    def _marked(self, planes: Planes, motion: Motion | None) -> Planes:
        number = self._numbers.get(motion) if motion else None
        if number is None:
            return planes
        marked = planes.copy()  # the animator may return the same planes again
        write(marked, number)
        return marked
