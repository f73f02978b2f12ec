"""Shared fixtures: the face models (fetched once, then cached), the built-in portrait and a clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.models.face_models import FaceModels, face_models

if TYPE_CHECKING:
    from pipeline.liveportrait.checkpoint import Networks


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `gpu` if there is no CUDA device."""
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
    """Return full-size LivePortrait networks with stand-in weights of seed 0, float32; the vectors' test folds them."""
    from tests.support.stand_in_weights import stand_in_networks

    return stand_in_networks(0)


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    """Return (512, 512, 3) RGB, read-only: a smiling face about 92 pixels wide that looks at the camera."""
    path = Path(__file__).parent.parent / "pipeline" / "assets" / "astronaut.jpg"
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    picture.flags.writeable = False
    return picture


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render the clip that the browsers' fake webcam loops."""
    from pipeline.files.demo_clip import write_demo

    path = tmp_path_factory.mktemp("webcam") / "driver.mjpeg"
    write_demo(path)
    return path
