"""What a driver should do to be seen better: codes, worked out from a picture and its face, and their sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pipeline.core.animator import Picture
from pipeline.face.face import Face

DARK = 32.0  # mean gray level
FAR = 0.09  # of the picture's width that a face takes
OUTSIDE = 0.05  # of the face that may be beyond the border: some foreheads always are
STEP = 16  # of the pixels whose brightness is looked at

Hint = Literal["dark", "several", "border", "far"]

HINTS: Mapping[str, str] = {
    "lost": "I cannot see your face",
    "dark": "Too dark: turn on a light",
    "several": "Several faces: the first one found is followed",
    "border": "Your face is at the border: move to the middle",
    "far": "Too far away: come closer",
}
"""The sentence of each hint, and of the state "lost" (unless it is dark), for the page and the preview."""


def hint(picture: Picture, face: Face | None, faces: int) -> Hint | None:
    """Return the most pressing hint; None if all is well. `faces`: how many are in the picture."""
    if float(picture[::STEP, ::STEP].mean()) < DARK:
        return "dark"
    if face is None:
        return None
    if faces > 1:
        return "several"
    corner = picture.shape[1::-1]
    points = face.landmarks[:468, :2]
    if ((points < 0) | (points > corner)).any(1).mean() > OUTSIDE:
        return "border"
    return "far" if face.width < FAR * corner[0] else None
