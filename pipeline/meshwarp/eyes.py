"""Draw the eyes: move the iris in the eyeball's texture, show skin on closing lids, add a lash line."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Picture
from pipeline.meshwarp.curves import smoothstep
from pipeline.meshwarp.motion_transfer import EYES, Eye
from pipeline.meshwarp.rasterizer import around

Array = NDArray[np.float32]

IRIS_EDGE = (1.1, 2.4)  # in iris radii: texture moves fully inside the first, not at all outside the second
LID_SHIFT = (0.55, 0.385)  # texture shift of a closed (upper, lower) lid, as a share of the way to the next skin ring
LASH_WIDTH = 0.045  # in eye widths
LASH_DARKNESS = 0.6


def lid_texture(uv: Array, openness: tuple[float, float]) -> None:
    """Shift the texture coordinates (n, 2) of closing lids towards skin, in place, so that lashes do not smear."""
    for eye, open_ in zip(EYES, openness, strict=True):
        closing = max(0.0, 1 - open_)
        for lid, ring, share in ((eye.upper, eye.crease, LID_SHIFT[0]), (eye.lower, eye.bag, LID_SHIFT[1])):
            inner = slice(1, -1)
            uv[lid[inner]] += share * closing * (uv[ring[inner]] - uv[lid[inner]])


def move_iris(places: Array, eyeball: NDArray[np.bool_], centre: Array, radius: float, shift: Array) -> None:
    """Edit an eye's texture map (h, w, 2) in place so that the iris at `centre` moves by `shift` texture pixels."""
    here = places[eyeball]
    distance = np.linalg.norm(here - (centre + shift), axis=1) / radius
    places[eyeball] = here - shift * (1 - smoothstep(*IRIS_EDGE, distance))[:, None]


def draw_lashes(picture: Picture, points: Array, openness: tuple[float, float]) -> None:
    """Darken the edge of closing upper lids in place; `points` (478, 2 or 3) are in pixels."""
    for eye, open_ in zip(EYES, openness, strict=True):
        strength = LASH_DARKNESS * float(1 - smoothstep(0.0, 0.85, open_))
        if strength > 0.01:
            _lash_line(picture, points[eye.upper, :2], strength)


def _lash_line(picture: Picture, lid: Array, strength: float) -> None:
    width = float(np.linalg.norm(lid[-1] - lid[0]))
    thickness = max(1.0, LASH_WIDTH * width)
    window = around(lid, picture.shape[0], 2 * thickness + 2)
    line = np.zeros((window.height, window.width), np.uint8)
    cv2.polylines(line, [window.fixed_point(lid - 0.5)], False, 255, round(thickness), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(line, (0, 0), 0.35 * thickness + 0.3).astype(np.float32)
    region = picture[window.slices]
    region[...] = (region * (1 - soft * (strength / 255))[..., None]).astype(np.uint8)


def iris(rest: Array, eye: Eye) -> tuple[Array, float]:
    """Return the centre (2,) and radius of an iris, in the units of `rest` (478, 2)."""
    ring = rest[eye.iris[1:]]
    return rest[eye.iris[0]], float(np.linalg.norm(ring - ring.mean(0), axis=1).mean())
