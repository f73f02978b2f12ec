"""Render one picture: draw the mesh into a texture map, look up the texture, composite it over the background."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import DrivingFrame, Picture, Portrait
from pipeline.meshwarp import eyes, mouth
from pipeline.meshwarp.canvas import Crop, sample
from pipeline.meshwarp.light import Light
from pipeline.meshwarp.lips import INNER, RINGS
from pipeline.meshwarp.mesh import FACE, LEFT_LIDS, RIGHT_LIDS, Mesh
from pipeline.meshwarp.motion_transfer import EYES, Rest, Target
from pipeline.meshwarp.mouth import Mouth
from pipeline.meshwarp.rasterizer import Window, around, rasterize

Array = NDArray[np.float32]

Backdrop = NDArray[np.uint8]
"""(size, size, 4): the picture behind the person, RGB; the fourth channel is not used."""

COARSE = 4  # outside the face the texture map is smooth, so every fourth pixel is enough
BREATH = 1.6  # pixels of a 512 canvas by which the shoulders rise
BODY_FOLLOWS = (0.4, 0.2)  # share of the head's travel (right, down) that the shoulders follow
BLUR = 36  # size of a picture / sigma of its blur
LIDS = np.array(RIGHT_LIDS + LEFT_LIDS)
EDGE = 1.5  # canvas pixels: from this second derivative of the texture map one surface hides another
LIP_SHIFT = 0.35  # share of the way to the next ring by which the texture of lips closing over teeth is shifted
EYEBALL = 4.0  # added to the map's third value, the shading (about 1), where an eyeball is visible


@dataclass(frozen=True, eq=False)
class MeshPortrait(Portrait):
    """A portrait prepared for the mesh-warp animator."""

    crop: Crop
    rest: Rest  # the face in pixels of the canvas
    mesh: Mesh
    values: Array  # (n, 3): texture coordinates of each vertex at rest, and its mark (see `EYEBALL`)
    texture: NDArray[np.uint8]  # (t, t, 4): the person's colours times alpha, alpha
    whole: bool  # person and background could not be separated: the layer holds both
    background: Backdrop  # the portrait's own, filled in behind the person
    still_map: Array  # (size + border, ..., 3): the texture map at rest, sampled every `COARSE` pixels
    mouth: Mouth
    light: Light

    @cached_property
    def blurred(self) -> Backdrop:
        """Return the background as a large aperture would show it."""
        return np.asarray(cv2.GaussianBlur(self.background, (0, 0), len(self.background) / BLUR), np.uint8)


def render(
    portrait: MeshPortrait, target: Target, driver: DrivingFrame | None = None, behind: Backdrop | None = None
) -> Picture:
    """Draw the portrait with its face at the target, (size, size, 3).

    `driver` puts the driver's own mouth between the lips; `behind` replaces the portrait's own background.
    """
    landmarks = target.landmarks
    places, window, marks = _texture_map(portrait, _points(portrait, target), _values(portrait, target))
    _move_irises(portrait, target, landmarks, places, window, marks)
    layer = sample(portrait.texture, places)
    picture = _over(layer, portrait.background if behind is None else behind)
    _shade(picture[window.slices], marks)
    _soften_edges(picture[window.slices], places[window.slices], EDGE * portrait.crop.texels)
    mouth.draw(picture, portrait.mouth, target, driver)
    eyes.draw_lashes(picture, landmarks, target.openness)
    return picture


def _points(portrait: MeshPortrait, target: Target) -> Array:
    body = np.array([0, -BREATH * target.breath * portrait.crop.size / 512], np.float32)
    if not portrait.whole:
        body += np.array(BODY_FOLLOWS, np.float32) * (target.pose.translation - portrait.rest.pose.translation)[:2]
    return portrait.mesh.place(target.shape, target.eyeballs, portrait.rest.shape, target.pose, body)


def _values(portrait: MeshPortrait, target: Target) -> Array:
    """Return the vertices' texture coordinates, shifted towards skin on closing lids and lips, and marks."""
    values = portrait.values.copy()
    shading = portrait.light.shading(target)
    values[:FACE, 2] = shading
    lids = FACE + len(portrait.mesh.grid)
    values[lids : lids + len(LIDS), 2] = EYEBALL + shading[LIDS]
    eyes.lid_texture(values[:, :2], target.openness)
    gap = portrait.mouth.gap
    if gap > 0.25:
        closing = LIP_SHIFT * float(np.clip(1 - target.lip_gap / gap, 0, 1))
        for inner, outer in zip(INNER, RINGS[1][:2], strict=True):
            values[inner, :2] += closing * (values[outer, :2] - values[inner, :2])
    return values


def _texture_map(portrait: MeshPortrait, points: Array, values: Array) -> tuple[Array, Window, Array]:
    """Return texture coordinates (size, size, 2), exact in the window around the face; the window; its marks."""
    size = portrait.crop.size
    border = coarse_border(size)
    coarse = portrait.still_map.copy()
    rasterize(points, portrait.mesh.triangles, values, border, coarse, COARSE)
    smooth = cv2.resize(np.ascontiguousarray(coarse[..., :2]), (border.width, border.height))
    places = smooth[COARSE : COARSE + size, COARSE : COARSE + size]
    window = around(points[:FACE, :2], size, 4)
    fine = np.ones((window.height, window.width, 3), np.float32)
    fine[..., :2] = places[window.slices]
    rasterize(points, portrait.mesh.triangles, values, window, fine)
    places[window.slices] = fine[..., :2]
    return places, window, fine[..., 2]


def coarse_border(size: int) -> Window:
    """Return the canvas with one coarse pixel around it, so that the map can be interpolated up to the edge."""
    side = -(-size // COARSE) * COARSE + 2 * COARSE
    return Window(-COARSE, -COARSE, side, side)


def still_map(crop: Crop) -> Array:
    """Return the coarse texture map at rest, which remains where no triangle is drawn."""
    border = coarse_border(crop.size)
    line = border.left + (np.arange(border.width // COARSE, dtype=np.float32) + 0.5) * COARSE
    canvas = np.stack(np.meshgrid(line, line), -1)
    return np.dstack([crop.to_texture(canvas), np.ones(canvas.shape[:2], np.float32)])


def _move_irises(
    portrait: MeshPortrait, target: Target, landmarks: Array, places: Array, window: Window, marks: Array
) -> None:
    """Edit the texture map where eyeballs are visible, so that the irises follow the target's gaze."""
    rest, crop = portrait.rest, portrait.crop
    for eye in EYES:
        moved = target.shape[eye.iris[0]] - rest.shape[eye.iris[0]]
        if not moved.any():
            continue
        shift = crop.texels * rest.pose.scale * (rest.pose.rotation @ moved)[:2]
        centre, radius = eyes.iris(rest.landmarks[:, :2], eye)
        rows, columns = around(landmarks[eye.upper + eye.lower, :2], crop.size, 3).slices
        top, left = rows.start - window.top, columns.start - window.left  # the eye's window lies inside the face's
        region = places[rows, columns]
        eyeball = marks[top : top + region.shape[0], left : left + region.shape[1]] > EYEBALL / 2
        eyes.move_iris(region, eyeball, crop.to_texture(centre), radius * crop.texels, shift)


def _over(layer: NDArray[np.uint8], behind: NDArray[np.uint8]) -> Picture:
    """Composite the premultiplied layer (h, w, 4) over the background (h, w, 4); return RGB."""
    clear = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(layer, 3)), cv2.COLOR_GRAY2RGBA)
    mixed = cv2.add(layer, cv2.multiply(behind, clear, scale=1 / 255))
    return np.asarray(cv2.cvtColor(mixed, cv2.COLOR_RGBA2RGB), np.uint8)


def _shade(picture: Picture, marks: Array) -> None:
    shading = np.where(marks > EYEBALL / 2, marks - EYEBALL, marks)
    cv2.multiply(picture, cv2.cvtColor(shading, cv2.COLOR_GRAY2RGB), picture, dtype=cv2.CV_8U)


def _soften_edges(picture: Picture, places: Array, bend: float) -> None:
    """Blur jagged edges where one surface hides another: there the texture map's second derivative exceeds `bend`."""
    jumps = np.abs(cv2.Laplacian(places, cv2.CV_32F))
    hidden = ((jumps[..., 0] > bend) | (jumps[..., 1] > bend)).view(np.uint8)
    if hidden.any():
        cv2.copyTo(cv2.GaussianBlur(picture, (3, 3), 0.75), hidden, picture)


def vertex_values(portrait_mesh: Mesh, rest: Rest, crop: Crop) -> Array:
    """Return (n, 3): the texture coordinates of every vertex at rest, and a mark of 1."""
    points = portrait_mesh.rest_points(rest.shape, rest.pose)
    return np.column_stack([crop.to_texture(points), np.ones(len(points), np.float32)])
