"""The mesh of a portrait: the face, separate layers for eyeballs and mouth, and a grid around the face.

Order of the vertices: 468 landmarks; the grid; copies of the right and left lid contours (eyeballs) and the inner lips.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.face import groups
from pipeline.face.canonical import TRIANGLES
from pipeline.face.pose import HeadPose
from pipeline.meshwarp.background import nearest_outside
from pipeline.meshwarp.canvas import Crop
from pipeline.meshwarp.curves import smoothstep
from pipeline.meshwarp.motion_transfer import Rest, lift

Array = NDArray[np.float32]
Indices = NDArray[np.int32]

FACE = 468
STEP = 20  # grid spacing in pixels of a 512 canvas
HEAD_CENTRE_DEPTH = 2.5  # cm behind the origin: the plane of the head's silhouette (ears, hair)
DEPTH_REACH = 7.0  # cm outside the face's oval at which the depth has reached the head's centre
NECK = (-2.0, 7.5)  # cm below the chin: between these the neck fades from following the head to still
EXPRESSION_REACH = 3.2  # cm outside the oval up to which expressions pull the grid along
RIM = 3  # width, in pixels of a 512 canvas, of the dark rim at the person's edge
OPAQUE = 230  # alpha (0..255) from which a pixel belongs to the person
EYEBALL_DEPTH, MOUTH_DEPTH = 0.9, 1.5  # cm behind lids and lips

RIGHT_LIDS = tuple(dict.fromkeys(groups.RIGHT_EYE_UPPER + groups.RIGHT_EYE_LOWER))
LEFT_LIDS = tuple(dict.fromkeys(groups.LEFT_EYE_UPPER + groups.LEFT_EYE_LOWER))
INNER_LIPS = groups.INNER_CORNERS + groups.LIPS_INNER_UPPER + groups.LIPS_INNER_LOWER


@dataclass(frozen=True, eq=False)
class Mesh:
    """The parts of a mesh that motion does not change. Pixels are canvas pixels."""

    triangles: Indices  # (t, 3)
    inset: Array  # (468, 3) cm from each landmark to its vertex
    grid: Array  # (g, 3) cm, head frame
    grid_rest: Array  # (g, 3) pixels
    grid_follow: Array  # (g, 1): 1 moves with the head, 0 stays
    grid_pull: Array  # (g, 36): how strongly each point of the face's oval pulls each grid point

    def rest_points(self, shape: Array, pose: HeadPose) -> Array:
        """Return the pixel of every vertex in the source, (n, 2)."""
        return self.place(shape, shape, shape, pose, np.zeros(2, np.float32))[:, :2]

    def place(self, shape: Array, eyeballs: Array, rest_shape: Array, pose: HeadPose, body: Array) -> Array:
        """Return all vertices (n, 3) in pixels, with depth, for a face `shape` (478, 3) cm in `pose`.

        The lid contours of `eyeballs` bound the eyeballs; `body` (2,) is the shoulders' shift in pixels.
        """
        oval = list(groups.OVAL)
        rest = self.grid_rest + np.append(body, np.float32(0))
        pulled = self.grid + self.grid_pull @ (shape[oval] - rest_shape[oval])
        grid = self.grid_follow * pose.to_picture(pulled) + (1 - self.grid_follow) * rest
        behind = np.array([0, 0, pose.scale], np.float32)
        around = list(RIGHT_LIDS + LEFT_LIDS)
        lids = pose.to_picture(eyeballs[around] + self.inset[around]) + EYEBALL_DEPTH * behind
        lips = pose.to_picture(shape[list(INNER_LIPS)]) + MOUTH_DEPTH * behind
        face = pose.to_picture(shape[:FACE] + self.inset)
        return np.concatenate([face, grid, lids, lips]).astype(np.float32)


def inset(rest: Rest, alpha: NDArray[np.uint8], crop: Crop) -> Array:
    """Return (468, 3) cm that move each landmark outside the person to the person's edge; 0 for most.

    In a half profile the hidden cheek is tracked outside; turned into view, it would show the background.
    `alpha` (t, t), 0..255, is the texture's matte.
    """
    rim = 2 * round(RIM * crop.texels * crop.size / 512) + 1
    beside = cv2.erode(alpha, np.ones((rim, rim), np.uint8)) < OPAQUE
    shape, points = rest.shape[:FACE], rest.landmarks[:FACE, :2].copy()
    x, y = np.clip(np.round(crop.to_texture(points)), 0, len(alpha) - 1).astype(int).T
    moved = np.nonzero(beside[y, x])[0]
    points[moved] = crop.from_texture(nearest_outside(beside)[y[moved], x[moved]])
    offset = np.zeros_like(shape)
    offset[moved] = (lift(points, shape[:, 2], rest.pose) - shape)[moved]
    return offset


def build(rest: Rest, inset: Array, crop: Crop, whole: bool) -> Mesh:
    """Build the mesh of a face at rest over a crop's canvas and margin.

    `inset` (468, 3) is the cm from each landmark to its vertex. With `whole` there is no matte: the background moves
    with the head, so the motion must fade out closer to it.
    """
    shape, pose = rest.shape, rest.pose
    oval = pose.to_picture(shape[list(groups.OVAL)])[:, :2]
    points = _grid_points(oval, crop.size, crop.margin * crop.scale)
    flat = (points - pose.translation[:2]) / np.float32(pose.scale)
    follow = _follow(_upright(flat, pose), shape, whole)
    grid = lift(points, _depth(flat, shape, pose), pose)
    triangles = np.concatenate([_skin_triangles(), _grid_triangles(oval, points), _layer_triangles(len(points))])
    return Mesh(
        triangles=triangles.astype(np.int32),
        inset=inset,
        grid=grid,
        grid_rest=pose.to_picture(grid),
        grid_follow=follow[:, None],
        grid_pull=_pull(grid, shape),
    )


def _grid_points(oval: Array, size: int, margin: float) -> Array:
    """Return a regular grid (g, 2) over canvas and margin, without points on the face or close to its oval."""
    step = STEP * size / 512
    line = np.linspace(-margin, size + margin, round((size + 2 * margin) / step) + 1)
    points = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2).astype(np.float32)
    outline = np.ascontiguousarray(oval.reshape(-1, 1, 2), np.float32)
    distance = np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in points])
    return points[distance < -0.45 * step]


def _upright(flat: Array, pose: HeadPose) -> Array:
    """Rotate points (n, 2) in cm around the head's origin to undo the head's roll."""
    axis = pose.rotation[:2, 1] / max(float(np.linalg.norm(pose.rotation[:2, 1])), 1e-6)
    across = np.array([axis[1], -axis[0]], np.float32)
    return np.stack([flat @ across, flat @ axis], 1)


def _follow(upright: Array, shape: Array, whole: bool) -> Array:
    """Return how far each grid point follows the head: 1 beside and above the face, 0 on the shoulders."""
    x, y = upright[:, 0], upright[:, 1]
    chin = float(shape[groups.CHIN, 1])
    below = y + 0.6 * np.maximum(0, np.abs(x) - 5.5) * smoothstep(chin - 9, chin - 2, y)
    neck = 1 - smoothstep(chin + NECK[0], chin + NECK[1], below)
    ellipses = np.hypot(x / 10, (y + 2) / 13)
    near, far = (1.05, 1.95) if whole else (2.6, 3.6)
    return (neck * (1 - smoothstep(near, far, ellipses))).astype(np.float32)


def _depth(flat: Array, shape: Array, pose: HeadPose) -> Array:
    """Return depths in the head frame in cm: near the face the oval's, further out the head's centre plane."""
    oval = shape[list(groups.OVAL)]
    seen = (oval @ pose.rotation.T)[:, :2]
    distance = np.linalg.norm(flat[:, None] - seen[None], axis=2)
    weight = 1 / np.maximum(distance, 0.1) ** 3
    near = weight @ oval[:, 2] / weight.sum(1)
    out = smoothstep(0, DEPTH_REACH, distance.min(1))
    return (near + out * (HEAD_CENTRE_DEPTH - near)).astype(np.float32)


def _pull(grid: Array, shape: Array) -> Array:
    distance = np.linalg.norm(grid[:, None] - shape[list(groups.OVAL)][None], axis=2)
    weight = 1 / np.maximum(distance, 0.1) ** 2
    reach = np.exp(-((distance.min(1) / EXPRESSION_REACH) ** 1.5))
    return (weight / weight.sum(1, keepdims=True) * reach[:, None]).astype(np.float32)


def _within(ids: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.asarray(np.isin(TRIANGLES, ids).all(1))


def _skin_triangles() -> Indices:
    return TRIANGLES[~(_within(RIGHT_LIDS) | _within(LEFT_LIDS) | _within(INNER_LIPS))]


def _layer_triangles(grid_points: int) -> Indices:
    """Return the canonical face's triangles of eyes and mouth, over the copied vertices."""
    start, layers = FACE + grid_points, []
    for ids in (RIGHT_LIDS, LEFT_LIDS, INNER_LIPS):
        copy = np.zeros(FACE, np.int32)
        copy[list(ids)] = start + np.arange(len(ids))
        layers.append(copy[TRIANGLES[_within(ids)]])
        start += len(ids)
    return np.concatenate(layers)


def _grid_triangles(oval: Array, points: Array) -> Indices:
    """Return Delaunay triangles between the oval's landmarks and the grid, none inside the oval."""
    vertices = np.concatenate([oval, points])
    names = np.concatenate([groups.OVAL, FACE + np.arange(len(points))])
    low = vertices.min(0) - 10
    span = vertices.max(0) - low + 10
    division = cv2.Subdiv2D((0, 0, int(span[0]) + 1, int(span[1]) + 1))
    number = {division.insert((float(x), float(y))): i for i, (x, y) in enumerate(vertices - low)}
    corners = np.asarray(division.getTriangleList()).reshape(-1, 3, 2)
    inside = ((corners >= 0) & (corners <= span)).all((1, 2))
    found = {tuple(np.asarray(division.getVertex(vertex)[0], np.float32)): i for vertex, i in number.items()}
    triples = [[found[tuple(corner)] for corner in triangle] for triangle in corners[inside]]
    triangles = np.array(triples, np.int32)
    centres = vertices[triangles].mean(1)
    on_face = (triangles < len(oval)).all(1)
    outline = np.ascontiguousarray(oval.reshape(-1, 1, 2), np.float32)
    outside = [cv2.pointPolygonTest(outline, (float(x), float(y)), False) < 0 for x, y in centres]
    keep = ~on_face | np.array(outside)
    return np.asarray(names[triangles[keep]], np.int32)
