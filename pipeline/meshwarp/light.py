"""Adapt shading to the head's turn: skin that turns towards the source's light brightens, other skin darkens."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Picture
from pipeline.face import groups
from pipeline.face.canonical import TRIANGLES, VERTICES
from pipeline.meshwarp.canvas import sample
from pipeline.meshwarp.curves import smoothstep
from pipeline.meshwarp.motion_transfer import LIPS, Rest, Target

Array = NDArray[np.float32]

STRENGTH = 0.45  # share of Lambert's law: skin also scatters light, and the fitted light is an estimate
LIMITS = (0.8, 1.2)
FADE = 2.5  # cm over which the shading fades in from the face's oval; hair and neck keep the source's shading


@dataclass(frozen=True, eq=False)
class Light:
    """A fit of the source's light: brightness = ambient + direction . normal."""

    ambient: float
    direction: Array  # (3,)
    rest: Array  # (468,) fitted brightness of the source's landmarks

    def shading(self, target: Target) -> Array:
        """Return the factor (468,) on each landmark's colour."""
        now = np.maximum(self.ambient + normals(target.shape) @ (target.pose.rotation.T @ self.direction), 0.2)
        return np.clip(1 + STRENGTH * INSIDE * (now / self.rest - 1), *LIMITS).astype(np.float32)


def estimate(texture: Picture, uv: Array, rest: Rest) -> Light:
    """Fit the light of a source whose landmarks have texture coordinates `uv` (468, 2) by least squares."""
    smooth = cv2.GaussianBlur(texture, (0, 0), texture.shape[0] / 120)
    colours = sample(smooth, uv[None])[0]
    brightness = colours.mean(1)
    facing = normals(rest.shape) @ rest.pose.rotation.T
    weight = SKIN * smoothstep(0.0, 0.6, -facing[:, 2])
    rows = np.column_stack([facing, np.ones(len(facing))])
    mean = float((weight * brightness).sum() / max(float(weight.sum()), 1e-6))
    fitted, *_ = np.linalg.lstsq(rows * weight[:, None], weight * brightness / max(mean, 1.0), rcond=None)
    direction, ambient = np.asarray(fitted[:3], np.float32), float(fitted[3])
    return Light(ambient, direction, np.maximum(ambient + facing @ direction, 0.2).astype(np.float32))


def normals(shape: Array) -> Array:
    """Return (468, 3) unit normals in the head frame, pointing out of the face."""
    a, b, c = shape[TRIANGLES.T]
    (ux, uy, uz), (vx, vy, vz) = (b - a).T, (c - a).T
    faces = np.zeros((len(TRIANGLES) + 1, 3), np.float32)
    faces[:-1, 0], faces[:-1, 1], faces[:-1, 2] = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    sums = faces[AROUND].sum(1)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)


def _around() -> NDArray[np.intp]:
    """Return (468, k): the triangles around each vertex, padded with the index after the last triangle."""
    lists = [np.nonzero((vertex == TRIANGLES).any(1))[0] for vertex in range(len(VERTICES))]
    around = np.full((len(lists), max(map(len, lists))), len(TRIANGLES))
    for row, found in zip(around, lists, strict=True):
        row[: len(found)] = found
    return around


def _inside() -> Array:
    """Return (468,): 0 on the oval, rising to 1 at `FADE` cm inside it."""
    oval = VERTICES[list(groups.OVAL)]
    return smoothstep(0.0, FADE, np.linalg.norm(VERTICES[:, None] - oval[None], axis=2).min(1))


def _skin() -> Array:
    """Return (468,): 0 on lips, eyes and brows, which are not skin-coloured, 1 elsewhere."""
    mask = np.ones(len(VERTICES), np.float32)
    mask[[*LIPS, *groups.RIGHT_BROW, *groups.LEFT_BROW, *groups.RIGHT_EYE_UPPER, *groups.RIGHT_EYE_LOWER]] = 0
    mask[[*groups.LEFT_EYE_UPPER, *groups.LEFT_EYE_LOWER]] = 0
    return mask


AROUND, INSIDE, SKIN = _around(), _inside(), _skin()
