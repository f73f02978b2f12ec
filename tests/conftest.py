"""What several tests need: the face models (fetched once, then cached) and the built-in portrait."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.weights import FaceModels, face_models

if TYPE_CHECKING:
    from pipeline.liveportrait.checkpoint import Networks


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that are marked for a GPU run where there is one."""
    if item.get_closest_marker("gpu") and not _has_cuda():
        pytest.skip("there is no CUDA device here")


def _has_cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def models() -> FaceModels:
    return face_models()


@pytest.fixture(scope="session")
def stand_in_networks() -> Networks:
    """LivePortrait's networks in full size, of seed 0, float32. The vectors' test folds them."""
    from tests.stand_in_weights import stand_in_networks

    return stand_in_networks(0)


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    """(512, 512, 3) RGB: a face of some 92 pixels, looking at the camera, smiling."""
    path = Path(__file__).parent.parent / "pipeline" / "assets" / "astronaut.jpg"
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    picture.flags.writeable = False
    return picture
