"""MediaPipe's canonical face (Apache-2.0): a mean head in units of about 1 cm, origin inside the head."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_DATA = np.load(Path(__file__).parent.parent / "assets" / "canonical_face.npz")

VERTICES = np.array([1, -1, -1], np.float32) * _DATA["vertices"]
"""(468, 3) float32 cm: x to the picture's right, y down, z away from the camera (the file has y up, z towards it)."""

TRIANGLES = _DATA["triangles"].astype(np.int32)
"""(898, 3) int32 vertex indices: one disc, bounded by the face oval; the mouth and the eyes are filled."""

RIGID_IDS = _DATA["procrustes_ids"].astype(np.intp)
"""(33,) landmarks that expressions hardly move; the pose is computed from them."""

RIGID_WEIGHTS = _DATA["procrustes_weights"] / _DATA["procrustes_weights"].sum()
"""(33,) float32 weights of these landmarks; they sum to 1."""
