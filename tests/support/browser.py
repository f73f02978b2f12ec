"""A real server in its own process and a real Chromium with a fake webcam; nothing leaves 127.0.0.1."""

from __future__ import annotations

import base64
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, Playwright

from pipeline.core.animator import Picture
from tests.support.waiting import PATIENCE, until
from web.cli.latency_clients import FLAGS

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SILENCE = PATIENCE / 3  # seconds before a driver that says nothing counts as gone; a busy one may be slow to speak
NO_CHROMIUM = "Chromium is not installed; on Debian: `apt-get install chromium`."
SERVE = f"""
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()  # ends with the test's process
from pipeline.files import idle_clip
from realtime.driver import presence
idle_clip.SLOWEST, presence.CONNECT_SECONDS, presence.SILENCE_SECONDS = {PATIENCE}, {PATIENCE}, {SILENCE}
from realtime.webrtc.settings import MediaSettings
from web.core.settings import Settings
from web.serve import serve
serve(Settings(**dict(port=0, media=MediaSettings(strict=True)) | %r), lambda done, total: None)
"""


class Server:
    """The program, serving on a free loopback port until the end of the block, or until `stop`."""

    def __init__(self, before: str = "", **settings: Any) -> None:
        """Start the server; its process runs the Python code `before` first."""
        command = [sys.executable, "-c", before + SERVE % (settings,)]
        self._process = Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True)
        assert self._process.stdout is not None
        self.line = self._process.stdout.readline()
        self.url = next((word for word in self.line.split() if word.startswith("http")), "")

    def __enter__(self) -> Server:
        assert self.url, "The server did not start."
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self.stop()

    @property
    def sessions(self) -> int:
        return int(httpx.get(f"{self.url}/health").json()["sessions"])

    def stop(self) -> int:
        """Interrupt the server as Ctrl-C does; return its exit code."""
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.communicate()


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
            timeout=1000 * PATIENCE,
        )
        context.set_default_timeout(1000 * PATIENCE)
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


def wait_for(page: Page, state: str) -> str:
    """Wait for this state and return the status text; fail with the actual status if it does not come."""
    try:
        page.wait_for_selector(f'#status[data-state="{state}"]')
    except Exception:
        pytest.fail(f"{state} never came: {page.get_attribute('#status', 'data-state')}, {page.inner_text('#status')}")
    return page.inner_text("#status")


def settle(server: Server, count: int = 0) -> None:
    """Wait until the server has `count` sessions."""
    until(lambda: server.sessions == count)


GRAB = """async ([count, frames]) => {
  const videos = ["camera", "animated"].map((id) => document.getElementById(id));
  const copy = (video) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 384, height: 384 });
    canvas.getContext("2d", { willReadFrequently: true }).drawImage(video, 0, 0, 384, 384);
    return canvas;
  };
  const pairs = [];
  for (let i = 0; i < count; i++) {
    for (let frame = 0; frame < frames; frame++)
      await new Promise((resolve) => videos[1].requestVideoFrameCallback(resolve));
    pairs.push(videos.map(copy));
  }
  return pairs.map((pair) => pair.map((canvas) => canvas.toDataURL("image/jpeg", 0.95).split(",")[1]));
}"""


def grab(page: Page, count: int = 1, frames: int = 0) -> list[tuple[Picture, Picture]]:
    """Return (camera, animated) pictures of the page, `count` times, each after `frames` more animated ones."""
    return [(_decode(camera), _decode(animated)) for camera, animated in page.evaluate(GRAB, [count, frames])]


def shown(page: Page, fits: Callable[[Picture], Any] = lambda picture: True, frames: int = 15) -> Picture:
    """Return the animated picture after `frames` more of them, or after as many as it takes until it `fits`."""

    def look() -> list[Picture]:
        [(_, animated)] = grab(page, 1, frames)
        return [animated] if fits(animated) else []

    [found] = until(look)
    return found


def _decode(jpeg: str) -> Picture:
    coded = np.frombuffer(base64.b64decode(jpeg), np.uint8)
    return np.asarray(cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
