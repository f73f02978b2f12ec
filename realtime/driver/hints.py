"""What a driver should do to be seen better. Pure: a picture and its face in, a word for the page out."""

from __future__ import annotations

from typing import Literal

from pipeline.core.animator import Picture
from pipeline.face.face import Face

DARK = 32.0  # mean gray level
FAR = 0.09  # of the picture's width that a face takes
OUTSIDE = 0.05  # of the face that may be beyond the border: some foreheads always are
STEP = 16  # of the pixels whose brightness is looked at

Hint = Literal["dark", "several", "border", "far"]


def hint(picture: Picture, face: Face | None, faces: int) -> Hint | None:
    """The most pressing; None where all is well. `faces`: how many are in the picture."""
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
