"""Shared fixtures: the face models (fetched once, then cached), the built-in portrait and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.models.face_models import FaceModels, face_models

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Playwright

    from pipeline.liveportrait.checkpoint import Networks
    from tests.support.browser import Server


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
def playwright() -> Iterator[Playwright]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render the clip that the browsers' fake webcam loops."""
    from pipeline.files.demo_clip import write_demo

    path = tmp_path_factory.mktemp("webcam") / "driver.mjpeg"
    write_demo(path)
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program, serving two sessions at most."""
    from tests.support.browser import Server

    folder = tmp_path_factory.mktemp("recordings")
    with Server("from pathlib import PosixPath\n", max_sessions=2, recordings=folder) as running:
        yield running


@pytest.fixture(scope="session")
def context(playwright: Playwright, clip: Path) -> Iterator[BrowserContext]:
    from tests.support.browser import chromium, webcam

    with chromium(playwright, *webcam(clip)) as running:
        yield running


@pytest.fixture
def page(context: BrowserContext, server: Server) -> Iterator[Page]:
    """Open the page of the module's server; fail if it contacts another host or throws an error."""
    from tests.support.browser import opened, settle

    hosts, complaints = set(), []
    page = context.new_page()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "//" in request.url[:8] else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened(page, server.url)
    page.evaluate("() => localStorage.clear()")
    page.close()
    assert hosts == {server.url.removeprefix("http://")}
    assert complaints == []
    settle(server)


@pytest.fixture
def live(page: Page) -> Page:
    from tests.support.browser import wait_for

    page.click("#start")
    wait_for(page, "live")
    return page
