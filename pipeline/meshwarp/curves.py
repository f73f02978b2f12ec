"""The one fading curve of the CPU animator."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def smoothstep(low: float, high: float, x: ArrayLike) -> NDArray[np.float32]:
    """Return 0 below `low`, 1 above `high` and a smooth cubic in between; decreasing if `low` > `high`."""
    t = np.clip((np.asarray(x, np.float32) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
