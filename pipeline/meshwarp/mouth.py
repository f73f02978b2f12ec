"""Draw the inside of the mouth: a painted cavity, tongue and teeth, or the source's own teeth if it shows them.

The parts are painted once, in cm on planes of the head, and placed by the head's pose and the drop of the jaw.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import DrivingFrame, Picture
from pipeline.face import groups
from pipeline.face.pose import HeadPose
from pipeline.meshwarp import driver_mouth
from pipeline.meshwarp.canvas import Crop
from pipeline.meshwarp.curves import smoothstep
from pipeline.meshwarp.driver_mouth import CHEEKS, skin_colour
from pipeline.meshwarp.motion_transfer import Rest, Target, lift
from pipeline.meshwarp.rasterizer import Window, around

Array = NDArray[np.float32]

RING = (78, *groups.LIPS_INNER_UPPER, 308, *reversed(groups.LIPS_INNER_LOWER))
FINE = 24.0  # resolution of the painted parts, in pixels per cm
FEATHER = 1.1 / 512  # blur of the lips' edge, as a share of the canvas
OPENING = (0.012, 0.035)  # area / width² of the opening at which the inside starts to show, and shows fully

WIDTHS = (0.74, 0.58, 0.56, 0.42, 0.32)  # cm of the teeth of half an arch, seen from the front
IVORY = np.array([242, 226, 198], np.float32)
GUM = np.array([188, 102, 98], np.float32)
FLESH = np.array([182, 95, 92], np.float32)
CAVITY = np.array([60, 23, 21], np.float32)

UPPER_EDGE = 0.4  # cm from the lip line down to the biting edge of the upper teeth
LOWER_EDGE = -0.24  # cm from the lower lip's inner edge down to the biting edge of the lower teeth
BEHIND = 0.7  # cm from the lip line back to the teeth


@dataclass(frozen=True, eq=False)
class Sprite:
    """A painted part: (h, w, 4) float32 premultiplied RGBA, 0..255, and the (2, 3) matrix from its pixels to cm."""

    pixels: Array
    to_cm: Array


@dataclass(frozen=True, eq=False)
class Mouth:
    """The parts of a portrait's mouth. Positions are cm in the head frame."""

    upper: Sprite
    lower: Sprite
    tongue: Sprite
    own_teeth: Sprite | None  # cut from the source if it shows them
    cavity: Array  # (3,) colour
    skin: Array  # (3,) mean colour of the cheeks
    centre: Array  # (3,) middle of the lip line at rest
    rest: Array  # (478, 3) the face at rest
    gap: float  # cm between the lips at rest


def prepare(texture: Picture, crop: Crop, rest: Rest) -> Mouth:
    """Paint the parts for the face `rest` on the canvas of `crop`."""
    shape = rest.shape
    skin = skin_colour(texture, crop.to_texture(rest.landmarks[list(CHEEKS), :2]) + 0.5)
    light = _light(skin)
    centre = shape[[78, 308]].mean(0)
    centre[1] = (shape[13, 1] * 0.7 + shape[14, 1] * 0.3) if rest.lip_gap > 0.1 else shape[[13, 14], 1].mean()
    centre[2] = shape[[13, 14], 2].mean() + BEHIND
    return Mouth(
        upper=_painted_teeth(light, lower=False),
        lower=_painted_teeth(light * 0.9, lower=True),
        tongue=_painted_tongue(light),
        own_teeth=_own_teeth(texture, crop, rest, centre),
        cavity=CAVITY * light,
        skin=skin,
        centre=centre,
        rest=shape,
        gap=rest.lip_gap,
    )


def _light(skin: Array) -> Array:
    """Return the source's light (3,), estimated from the cheeks' colour; 1 is a well lit photograph."""
    brightness = 0.35 + 0.65 * float(skin.mean()) / 185
    tint = skin / max(float(skin.mean()), 1.0) / np.array([1.22, 0.95, 0.83], np.float32)
    return np.asarray(np.clip(brightness, 0.3, 1.08) * np.clip(1 + 0.6 * (tint - 1), 0.75, 1.25), np.float32)


def draw(picture: Picture, mouth: Mouth, target: Target, driver: DrivingFrame | None) -> None:
    """Draw the inside of the mouth into `picture` (size, size, 3) in place; with `driver`, the driver's own."""
    size = picture.shape[0]
    ring = target.landmarks[list(RING), :2]
    window = around(ring, size, 4)
    inside, show = _opening(ring, window, FEATHER * size)
    show *= _difference(mouth, target.shape)
    if show <= 0:
        return
    seen = driver_mouth.inside(driver, RING, ring, window, mouth.skin) if driver else None
    painted = _paint(mouth, target, window, _occlusion(inside, size)) if seen is None else seen
    region = picture[window.slices]
    alpha = (inside * np.float32(show))[..., None]
    mixed = region + alpha * (painted - region)
    region[...] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _opening(ring: Array, window: Window, feather: float) -> tuple[Array, float]:
    """Return the mask between the lips, 0..1, and how visible the inside is at this opening, 0..1."""
    mask = window.polygon(ring - 0.5)
    inside = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), feather)
    width = float(np.linalg.norm(ring[0] - ring[10]))
    area = float(mask.sum(dtype=np.float64)) / 255
    return inside, float(smoothstep(*OPENING, np.float32(area / max(width, 1.0) ** 2)))


def _difference(mouth: Mouth, shape: Array) -> float:
    """Return 0 while an open source mouth has not moved (the source is the better picture), up to 1 once it has."""
    if mouth.gap < 0.1:
        return 1.0
    now = shape[list(groups.LIPS_INNER_LOWER), 1] - shape[list(groups.LIPS_INNER_UPPER), 1]
    rest = mouth.rest[list(groups.LIPS_INNER_LOWER), 1] - mouth.rest[list(groups.LIPS_INNER_UPPER), 1]
    return float(smoothstep(0.02, 0.16, np.abs(now - rest).max()))


def _occlusion(inside: Array, size: int) -> Array:
    """Return (h, w, 1) factors that are darker under the lips than in the middle of the opening."""
    deep = cv2.GaussianBlur(inside, (0, 0), 5 * size / 512)
    return (0.48 + 0.52 * smoothstep(0.2, 0.95, deep))[..., None]


def _paint(mouth: Mouth, target: Target, window: Window, occlusion: Array) -> Array:
    """Return the whole inside of the mouth, (h, w, 3) float32, as if there were no lips."""
    shape, centre, pose = target.shape, mouth.centre, target.pose
    moved = shape - mouth.rest
    jaw_right, jaw_down = float(moved[groups.CHIN, 0]), max(float(moved[groups.CHIN, 1]), 0.0)
    top = float(shape[[82, 13, 312], 1].mean() - centre[1])
    bottom = float(shape[[87, 14, 317], 1].mean() - centre[1])
    gap = bottom - top
    lift = float(moved[[81, 82, 13, 312, 311], 1].mean())
    picture = np.empty((window.height, window.width, 3), np.float32)
    picture[:] = mouth.cavity

    def place(sprite: Sprite, right: float, down: float, stretch: float = 1.0, show: float = 1.0) -> None:
        _over(picture, sprite, _to_pixels(pose, centre, (right, down), stretch), window, show)

    parted, wide = (float(smoothstep(low, high, gap)) for low, high in ((0.12, 0.4), (0.9, 1.6)))
    place(mouth.tongue, jaw_right, max(top + 0.22 * gap, UPPER_EDGE + 0.05 * jaw_down), 0.45 + 0.7 * gap)
    place(mouth.lower, jaw_right, max(bottom + LOWER_EDGE, UPPER_EDGE), show=wide)
    if mouth.own_teeth is None:
        place(mouth.upper, 0.0, UPPER_EDGE + 0.3 * min(lift, 0.0), show=parted)
        return picture * occlusion
    picture *= occlusion
    place(mouth.own_teeth, 0.0, lift, show=parted)  # they already have the source's light
    return picture


def _to_pixels(pose: HeadPose, centre: Array, shift: tuple[float, float], stretch: float) -> Array:
    """Return the (2, 3) matrix from cm on the plane through `centre` to canvas pixels."""
    matrix = np.empty((2, 3), np.float32)
    axes = np.float32(pose.scale) * pose.rotation[:2]
    matrix[:, 0], matrix[:, 1] = axes[:, 0], axes[:, 1] * stretch
    matrix[:, 2] = axes @ (centre + np.array([*shift, 0], np.float32)) + pose.translation[:2]
    return matrix


def _over(picture: Array, sprite: Sprite, to_pixels: Array, window: Window, show: float) -> None:
    """Draw a sprite over `picture` (h, w, 3), which covers `window` of the canvas."""
    matrix = to_pixels[:, :2] @ sprite.to_cm
    matrix[:, 2] += to_pixels[:, 2] - (window.left, window.top) - 0.5
    placed = cv2.warpAffine(sprite.pixels, matrix, (window.width, window.height), flags=cv2.INTER_LINEAR)
    placed *= np.float32(show)
    picture += placed[..., :3] - picture * (placed[..., 3:] * np.float32(1 / 255))


def _sprite(colours: Array, alpha: Array, corner: tuple[float, float]) -> Sprite:
    """Return a sprite with its upper left corner at `corner` cm; colours (h, w, 3) 0..255, alpha (h, w) 0..1."""
    pixels = np.dstack([colours * alpha[..., None], alpha * 255]).astype(np.float32)
    to_cm = np.array([[1 / FINE, 0, corner[0] + 0.5 / FINE], [0, 1 / FINE, corner[1] + 0.5 / FINE]], np.float32)
    return Sprite(pixels, to_cm)


def _canvas(half_width: float, top: float, bottom: float) -> tuple[Array, Array]:
    """Return x and y in cm of every pixel of a part."""
    x = (np.arange(round(2 * half_width * FINE)) + 0.5) / FINE - half_width
    y = (np.arange(round((bottom - top) * FINE)) + 0.5) / FINE + top
    return tuple(np.meshgrid(x.astype(np.float32), y.astype(np.float32)))  # type: ignore[return-value]


def _painted_teeth(light: Array, lower: bool) -> Sprite:
    """Paint a row of teeth; y = 0 is the middle of the biting edge, with the gum above it (below for the lower row)."""
    half = 2.7
    x, y = _canvas(half, -1.5, 0.25) if not lower else _canvas(half, -0.25, 1.5)
    up = y if lower else -y  # cm from the biting edge towards the gum
    narrow = 0.72 if lower else 1.0
    borders = np.cumsum((0.0, *WIDTHS)) * narrow
    side = np.abs(x)
    tooth = np.clip(np.searchsorted(borders, side, side="right") - 1, 0, len(WIDTHS) - 1)
    width = np.diff(borders)[tooth]
    across = np.clip((side - borders[tooth]) / width * 2 - 1, -1, 1)  # -1..1 over one tooth
    long = np.array([1.0, 0.9, 0.98, 0.82, 0.72], np.float32)[tooth] * (0.82 if lower else 1.0)
    short = np.array([0.0, 0.05, 0.0, 0.06, 0.1], np.float32)[tooth] + 0.025 * side**2  # the row curves
    edge = up - short - 0.05 * np.abs(across) ** 6
    gum_line = long * (0.92 - 0.14 * across**2)
    enamel = smoothstep(-0.02, 0.03, edge) * (1 - smoothstep(-0.03, 0.05, up - gum_line))
    body = 0.93 + 0.07 * (1 - across**2) - 0.10 * smoothstep(0.1, 1.0, up / long)
    gap = 1 - 0.3 * smoothstep(0.84, 1.0, np.abs(across))
    arch = 1 - 0.6 * smoothstep(0.7, 2.6, side)
    shade = (body * gap * arch)[..., None]
    gum = GUM * (0.85 * arch)[..., None]
    alpha = smoothstep(-0.02, 0.03, edge) * (1 - smoothstep(2.3 * narrow, 2.6 * narrow, side))
    colours = enamel[..., None] * IVORY * shade + (1 - enamel[..., None]) * gum
    return _sprite(colours * light, alpha, (-half, -0.25 if lower else -1.5))


def _painted_tongue(light: Array) -> Sprite:
    """Paint a tongue seen from the front: the dark back at y = 0, the tip 1 cm below."""
    x, y = _canvas(2.0, -0.1, 1.8)
    distance = np.hypot(x / 1.75, (y - 0.95) / 0.95)
    near = smoothstep(0.0, 1.0, y)
    groove = 1 - 0.13 * np.exp(-((x / 0.14) ** 2)) * near
    round_ = 1 - 0.3 * np.clip(distance, 0, 1) ** 3
    shade = (0.42 + 0.56 * near) * groove * round_
    colours = (
        FLESH * shade[..., None] + 10 * np.exp(-(((np.abs(x) - 0.5) / 0.35) ** 2) - ((y - 0.75) / 0.3) ** 2)[..., None]
    )
    return _sprite(colours * light, 1 - smoothstep(0.66, 1.0, distance), (-2.0, -0.1))


def _own_teeth(texture: Picture, crop: Crop, rest: Rest, centre: Array) -> Sprite | None:
    """Cut out the source's teeth, the bright pixels of little colour between the lips; None if it shows too few."""
    if rest.lip_gap < 0.3:
        return None
    ring = crop.to_texture(rest.landmarks[list(RING), :2])
    window = around(ring, texture.shape[0], 3)
    region = texture[window.slices].astype(np.float32)
    mask = window.polygon(ring)
    high, low = region.max(2), region.min(2)
    bright = smoothstep(70, 120, high) * (1 - smoothstep(0.3, 0.5, (high - low) / np.maximum(high, 1)))
    if float((bright * (mask > 128)).sum()) < 0.25 * float((mask > 128).sum()):
        return None
    alpha = cv2.GaussianBlur(bright, (0, 0), 1.0) * (mask / np.float32(255))
    pixels = np.dstack([region * alpha[..., None], alpha * 255]).astype(np.float32)
    corners = crop.from_texture(np.array([[0, 0], [1, 0], [0, 1]], np.float32) + np.array([window.left, window.top]))
    plane = lift(corners, np.full(3, centre[2], np.float32), rest.pose)[:, :2] - centre[:2]
    return Sprite(pixels, np.column_stack([plane[1] - plane[0], plane[2] - plane[0], plane[0]]).astype(np.float32))
