"""OBS's way in Chromium: FFmpeg drives the puppet by WHIP, and pages watch it by WHEP, all over one UDP port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

pytest.importorskip("playwright", reason="Playwright is missing: `python -m pip install -r tests/requirements.txt`.")

from playwright.sync_api import Playwright

from pipeline.imaging.source_picture import default_portrait, read_picture
from realtime.webrtc.settings import MediaSettings
from tests.realtime.webrtc.test_ice import free_ports
from tests.support import browser
from tests.support.browser import chromium
from tests.support.clips import write_clip
from tests.support.streams import streaming
from tests.support.waiting import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.NO_CHROMIUM),
]
PLAYS = "() => document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > 30"
LOOK = """() => {
  const video = document.querySelector("video");
  const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 64, 64);
  return { side: video.videoWidth, pixels: [...context.getImageData(0, 0, 64, 64).data] };
}"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that goes from side to side."""
    face = read_picture(default_portrait())
    pictures = [np.roll(face, round(20 * np.sin(i / 60 * 2 * np.pi)), axis=1) for i in range(60)]
    return write_clip(tmp_path_factory.mktemp("driver") / "driver.mp4", pictures)


@pytest.fixture(scope="module")
def server() -> Iterator[browser.Server]:
    media = MediaSettings(strict=True, ports=free_ports(1))
    with browser.Server(driver="whip", whip_token="secret", media=media) as running:
        yield running


def test_pages_watch_what_ffmpeg_sends(
    server: browser.Server, driver: Path, playwright: Playwright, tmp_path: Path
) -> None:
    with (
        streaming(f"{server.url}/whip", driver, tmp_path, authorization="secret"),
        chromium(playwright) as context,
    ):
        pages = [context.new_page() for _ in range(2)]
        for page in pages:
            page.goto(f"{server.url}/view/whip#token=secret")
            page.wait_for_function(PLAYS)
        seen = pages[0].evaluate(LOOK)
        assert seen["side"] == 512
        assert np.std(seen["pixels"][0::4]) > 20  # a portrait, not a blank
        assert viewers(server) == 2
        pages[0].close(run_before_unload=True)
        until(lambda: viewers(server) == 1)


def viewers(server: browser.Server) -> int:
    return int(httpx.get(f"{server.url}/session/whip/stats").json()["viewers"])
