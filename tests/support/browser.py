"""A real server in its own process and a real Chromium with a fake webcam; nothing leaves 127.0.0.1."""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, Playwright

from pipeline.core.animator import Picture
from web.cli.latency_clients import FLAGS
from web.core.settings import Settings

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_CHROMIUM = "Chromium is not installed; on Debian: `apt-get install chromium`."
SERVE = """
from realtime.webrtc.settings import MediaSettings
from web.serve import serve
from web.cli.latency_clients import FLAGS
from web.core.settings import Settings
settings = dict(port={port}, max_sessions={max_sessions}, media=MediaSettings(strict=True)) | {settings}
serve(Settings(**settings), lambda done, total: None)
"""


class Server:
    """The program, serving on a free loopback port until `stop`."""

    def __init__(self, max_sessions: int = Settings.max_sessions, before: str = "", **settings: Any) -> None:
        """Start the server; its process runs the Python code `before` first."""
        code = before + SERVE.format(port=0, max_sessions=max_sessions, settings=settings)
        self._process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.line = self._process.stdout.readline()
        self.url = next(word for word in self.line.split() if word.startswith("http"))

    @property
    def sessions(self) -> int:
        return int(httpx.get(f"{self.url}/health").json()["sessions"])

    def stop(self, timeout: float = 20) -> int:
        """Interrupt the server as Ctrl-C does; return its exit code."""
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(timeout)
        finally:
            self._process.kill()
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()


@contextmanager
def chromium(playwright: Playwright, *flags: str, dark: bool = False, phone: bool = False) -> Iterator[BrowserContext]:
    """Start a browser with an empty profile."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            headless=False,  # the flags choose the headless mode
            args=["--no-sandbox", *FLAGS, *flags],
            viewport={"width": 390, "height": 844} if phone else {"width": 1366, "height": 768},
            color_scheme="dark" if dark else "light",
        )
        try:
            yield context
        finally:
            context.close()


def webcam(clip: Path) -> tuple[str, ...]:
    """Return Chromium's flags for a webcam that loops a clip and for a user who allows its use."""
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
    )


def opened(page: Page, url: str) -> Page:
    """Load the URL and return the page once its script is ready."""
    page.goto(url)
    page.wait_for_function("window.puppet && !document.getElementById('first-paint')")
    return page


def wait_for(page: Page, state: str, seconds: float = 20) -> str:
    """Wait for this state and return the status text; fail with the actual status if it does not come."""
    try:
        page.wait_for_selector(f'#status[data-state="{state}"]', timeout=seconds * 1000)
    except Exception:
        pytest.fail(f"{state} never came: {page.get_attribute('#status', 'data-state')}, {page.inner_text('#status')}")
    return page.inner_text("#status")


def settle(server: Server, count: int = 0, seconds: float = 6) -> None:
    """Wait until the server has `count` sessions."""
    end = time.monotonic() + seconds
    while server.sessions != count and time.monotonic() < end:
        time.sleep(0.05)
    assert server.sessions == count


GRAB = """async ([count, pause]) => {
  const videos = ["camera", "animated"].map((id) => document.getElementById(id));
  const copy = (video) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 384, height: 384 });
    canvas.getContext("2d", { willReadFrequently: true }).drawImage(video, 0, 0, 384, 384);
    return canvas;
  };
  const pairs = [];
  for (let i = 0; i < count; i++) {
    pairs.push(videos.map(copy));
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return pairs.map((pair) => pair.map((canvas) => canvas.toDataURL("image/jpeg", 0.95).split(",")[1]));
}"""


def grab(page: Page, count: int = 1, pause: int = 0) -> list[tuple[Picture, Picture]]:
    """Return (camera, animated) pictures of the page, `count` times with `pause` ms in between."""
    return [(_decode(camera), _decode(animated)) for camera, animated in page.evaluate(GRAB, [count, pause])]


def _decode(jpeg: str) -> Picture:
    coded = np.frombuffer(base64.b64decode(jpeg), np.uint8)
    return np.asarray(cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
