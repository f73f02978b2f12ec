"""The mark that tells viewers that a picture was made by a machine."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.animator import Picture

TEXT = "AI-generated"


def draw(picture: Picture) -> None:
    """Draw the label into the lower left corner of `picture`, in place. Under 96 pixels there is no room for it."""
    height, width = picture.shape[:2]
    if min(height, width) < 96:
        return
    veil, ink = _label(min(height, width))
    h, w = ink.shape[:2]
    margin = max(4, min(height, width) // 40)
    corner = picture[height - margin - h : height - margin, margin : margin + w]
    corner[...] = (corner * veil + ink).astype(np.uint8)


@lru_cache(maxsize=8)
def _label(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What is kept of the picture (0..1) and the light added to it (0..255), both (h, w, 1)."""
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
    return ((1 - dark) * (1 - 0.96 * text))[..., None], (dark * 18 * (1 - text) + 0.96 * text * 248)[..., None]
