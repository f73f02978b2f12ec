"""The attention mesh: 478 landmarks of the face in a region. Grishchenko et al. 2020, arXiv:2006.10962.

Three steps: the mesh network; the sampling of its features around lips and eyes, which in MediaPipe is the work of
custom operators; and the refinement network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.face.face import Face
from pipeline.face.groups import NOSE_TIP
from pipeline.face.litert import LiteRtModel
from pipeline.face.region import Region, around_landmarks
from pipeline.models.attention_mesh import REGIONS
from pipeline.models.face_models import FaceModels

Array = NDArray[np.float32]

SIZE = 192  # side of the mesh network's picture
FEATURES = 48  # side of its feature map
WINDOW = 16  # side of a window onto the feature map
WINDOW_MARGIN = 1.5  # side of a window over the box of its landmarks
SCORE_THRESHOLD = 0.5  # of the network's face flag; below it there is no face
OUTSIDE_LIMIT = 0.25  # share of landmarks outside the picture; above it the network only guesses
MISFIT_LIMIT = 0.75  # cm: people, painted and sculpted ones too, measure 0.35 to 0.6, cats and patterns 0.78 to 0.97
ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the face for the refinement network, with its landmarks in the network's order."""

    output: str
    landmarks: NDArray[np.intp]
    corners: tuple[int, int]  # the window is rotated with the line between them


LIPS = Part(
    "conv_lips",
    np.array(
        [
            *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
            *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
            *(76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408),
            *(62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407),
        ]
    ),
    (61, 291),
)
RIGHT_EYE = Part(
    "conv_left_eye",  # the network names sides as the viewer sees them
    np.array(
        [
            *(33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),  # the lids' contour
            *(130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190),
            *(226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189, 35, 124),
            *(46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193),
        ]
    ),
    (33, 133),
)
LEFT_EYE = Part(
    "conv_right_eye",
    np.array(
        [
            *(263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
            *(359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414),
            *(446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413, 265, 353),
            *(276, 283, 282, 295, 372, 340, 346, 347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417),
        ]
    ),
    (362, 263),
)
PARTS = (LIPS, RIGHT_EYE, LEFT_EYE)
CONTOUR = 16  # an eye's first landmarks: the contour of its lids


class FaceMesh:
    """Reads landmarks from a region of a picture. Belongs to one thread."""

    def __init__(self, models: FaceModels) -> None:
        self._mesh = LiteRtModel(models.mesh)
        self._refinement = LiteRtModel(models.refinement)

    def acquire(self, picture: NDArray[np.uint8], region: Region) -> Face | None:
        """Return the face that a detector found in `region`, or None if there is none.

        Read it several times, each time in the square around the landmarks of the last reading.
        """
        face = None
        for _ in range(ROUNDS):
            face = self.read(picture, region)
            if face is None:
                return None
            region = around_landmarks(face.landmarks)
        return face if face and face.misfit <= MISFIT_LIMIT else None

    def read(self, picture: NDArray[np.uint8], region: Region) -> Face | None:
        """Return the face in `region` of an RGB picture, or None."""
        face = self._look(picture, region)
        return face if is_visible(face, picture) else None

    def _look(self, picture: NDArray[np.uint8], region: Region) -> Face:
        outputs = self._mesh(input_1=region.crop(picture, SIZE)[None] * np.float32(1 / 255))
        points = outputs["output_mesh"].reshape(468, 3)
        windows = [window(points, part) for part in PARTS]
        samples = sample(outputs["p_re_lu_3"][0], windows)
        points = refine(points, self._refinement(**dict(zip(REGIONS, samples, strict=True))), windows)
        matrix = region.to_picture(SIZE)
        points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        points[:, 2] *= region.side / SIZE
        logit = min(80.0, max(-80.0, float(outputs["conv_faceflag"].flat[0])))
        return Face(points, 1 / (1 + math.exp(-logit)))


def is_visible(face: Face, picture: NDArray[np.uint8]) -> bool:
    """Return whether there is a face, with enough of it inside the picture that its landmarks are not guesses."""
    height, width = picture.shape[:2]
    x, y = face.landmarks[:, 0], face.landmarks[:, 1]
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    return face.score >= SCORE_THRESHOLD and bool(inside[NOSE_TIP]) and bool(inside.mean() >= 1 - OUTSIDE_LIMIT)


def window(points: Array, part: Part) -> Array:
    """Return the (2, 3) map from window cells to feature map cells, for mesh points (468, 3) in crop pixels."""
    cells = points[:, :2] * np.float32(FEATURES / SIZE)
    dx, dy = cells[part.corners[1]] - cells[part.corners[0]]
    length = math.hypot(dx, dy) or 1.0
    cos, sin = dx / length, dy / length
    turn = np.array([[cos, -sin], [sin, cos]], np.float32)  # window to feature map
    upright = cells[part.landmarks] @ turn
    low, high = upright.min(0), upright.max(0)
    linear = turn * ((high - low) * np.float32(WINDOW_MARGIN / WINDOW))
    offset = turn @ ((low + high) / 2) - linear.sum(1) * (WINDOW / 2)
    return np.column_stack([linear, offset])


_AXIS = np.arange(WINDOW, dtype=np.float32) + np.float32(0.5)
_CENTRES = np.stack([*np.meshgrid(_AXIS, _AXIS), np.ones((WINDOW, WINDOW), np.float32)]).reshape(3, -1)
_STRIDE = FEATURES + 3  # a row of the feature map with a cell of zeros before and two after


def sample(features: Array, windows: list[Array]) -> list[Array]:
    """Sample the (48, 48, 32) feature map at each window's cells, bilinear, zero outside: (1, 16, 16, 32) each."""
    x, y = np.concatenate([window @ _CENTRES for window in windows], 1) + np.float32(0.5)
    x, y = np.clip(x, 0, FEATURES + 1), np.clip(y, 0, FEATURES + 1)
    padded = np.zeros((_STRIDE, _STRIDE, features.shape[2]), np.float32)
    padded[1:-2, 1:-2] = features
    rows = padded.reshape(_STRIDE * _STRIDE, -1)
    left, top = np.floor(x), np.floor(y)
    corner = (top * _STRIDE + left).astype(np.intp)
    right, lower = (x - left)[:, None], (y - top)[:, None]
    above = rows[corner] * (1 - right) + rows[corner + 1] * right
    below = rows[corner + _STRIDE] * (1 - right) + rows[corner + _STRIDE + 1] * right
    samples = above + (below - above) * lower
    return list(samples.reshape(len(windows), 1, WINDOW, WINDOW, -1))


def refine(points: Array, refined: dict[str, Array], windows: list[Array]) -> Array:
    """Return (478, 3): the mesh (468, 3) with refined lips and eyes, which keep their depth, and the irises."""
    result = np.empty((478, 3), np.float32)
    result[:468] = points
    for part, matrix in zip(PARTS, windows, strict=True):
        result[part.landmarks, :2] = _to_crop(refined[part.output], matrix)
    for first, part, matrix in ((468, RIGHT_EYE, windows[1]), (473, LEFT_EYE, windows[2])):
        result[first : first + 5, :2] = _to_crop(refined[part.output.replace("eye", "iris")], matrix)
        result[first : first + 5, 2] = points[part.landmarks[:CONTOUR], 2].mean()
    return result


def _to_crop(values: Array, matrix: Array) -> Array:
    # Refined points are in quarters of a window cell; a cell of the feature map is 4 pixels of the crop.
    placed: Array = values.reshape(-1, 2) @ matrix[:, :2].T + matrix[:, 2] * np.float32(SIZE / FEATURES)
    return placed
