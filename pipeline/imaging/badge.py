"""The badge that tells viewers that a picture was made by a machine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Picture

TEXT = "AI-generated"


@dataclass(frozen=True, eq=False)
class Label:
    """The badge for pictures of one size; shared by all of them."""

    veil: NDArray[np.float32]  # (h, w, 1): share of the picture that is kept, 0..1
    ink: NDArray[np.float32]  # (h, w, 1): light that is added, 0..255
    margin: int  # pixels to the left edge and to the bottom

    def top(self, height: int) -> int:
        """Return the first row of the label in a picture of this height."""
        return height - self.margin - len(self.ink)


def draw(picture: Picture) -> None:
    """Draw the label into `picture`, in place; nothing if the picture is too small."""
    height, width = picture.shape[:2]
    found = label(height, width)
    if found:
        h, w = found.ink.shape[:2]
        corner = picture[found.top(height) :][:h, found.margin :][:, :w]
        corner[...] = (corner * found.veil + found.ink).astype(np.uint8)


def label(height: int, width: int) -> Label | None:
    """Return the label for the lower left corner of a picture of this size; None if a side has less than 96 pixels."""
    side = min(height, width)
    return None if side < 96 else _drawn(side)


@lru_cache(maxsize=8)
def _drawn(side: int) -> Label:
    font, over = cv2.FONT_HERSHEY_DUPLEX, 4  # drawn larger, then reduced
    letter = max(7, round(side * 0.021)) * over  # height of a capital
    scale = letter / cv2.getTextSize("A", font, 1.0, 1)[0][1]
    thick = max(1, round(letter / 9))
    (text_width, _), _ = cv2.getTextSize(TEXT, font, scale, thick)
    h, pad = int(letter * 2.1) // over * over, int(letter * 0.85)
    w = (text_width + 2 * pad) // over * over
    drawn = np.zeros((2, h, w), np.uint8)
    cv2.rectangle(drawn[0], (h // 2, 0), (w - h // 2, h), 255, -1)
    for x in (h // 2, w - h // 2):
        cv2.circle(drawn[0], (x, h // 2), h // 2 - 1, 255, -1)
    cv2.putText(drawn[1], TEXT, (pad, (h + letter) // 2), font, scale, 255, thick, cv2.LINE_AA)
    small = (cv2.resize(part, (w // over, h // over), interpolation=cv2.INTER_AREA) for part in drawn)
    pill, text = (part.astype(np.float32) / 255 for part in small)
    dark = 0.55 * pill
    veil, ink = (1 - dark) * (1 - 0.96 * text), dark * 18 * (1 - text) + 0.96 * text * 248
    return Label(veil[..., None], ink[..., None], max(4, side // 40))
