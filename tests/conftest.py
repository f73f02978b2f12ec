"""What several tests need: the face models (fetched once, then cached) and the built-in portrait."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.weights import FaceModels, face_models


@pytest.fixture(scope="session")
def models() -> FaceModels:
    return face_models()


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    """(512, 512, 3) RGB: a face of some 92 pixels, looking at the camera, smiling."""
    path = Path(__file__).parent.parent / "pipeline" / "assets" / "astronaut.jpg"
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    picture.flags.writeable = False
    return picture
