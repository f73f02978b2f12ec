"""Take screenshots of the page's states in a real Chromium: `python -m tests.tools.screenshots FOLDER [DRIVER]`.

DRIVER is a video of a face, .mjpeg for Chromium's fake webcam; the default is the demo driver. With `--readme` instead
of FOLDER, only the README's picture is taken: web/static/page.jpg, made from `light_beside.png`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
from playwright.sync_api import Page, sync_playwright

from pipeline.files.demo_clip import write_demo
from tests.support import browser
from tests.support.browser import chromium, opened, wait_for, webcam

README = browser.ROOT / "web" / "static" / "page.jpg"
LOOKS = {"light": {}, "dark": {"dark": True}, "phone": {"phone": True}}


def main(words: list[str]) -> None:
    server = browser.Server()
    try:
        with TemporaryDirectory() as work, sync_playwright() as playwright:
            driver = Path(words[1]) if len(words) > 1 else Path(work) / "driver.mjpeg"
            if len(words) < 2:
                write_demo(driver)
            readme = words[0] == "--readme"
            folder = Path(work) if readme else Path(words[0])
            folder.mkdir(exist_ok=True)
            for look in ["light"] if readme else LOOKS:
                with chromium(playwright, *webcam(driver), **LOOKS[look]) as context:
                    _states(opened(context.pages[0], server.url), folder, look)
            if readme:
                cv2.imwrite(str(README), cv2.imread(str(folder / "light_beside.png")), [cv2.IMWRITE_JPEG_QUALITY, 88])
    finally:
        server.stop()


def _states(page: Page, folder: Path, look: str) -> None:
    def take(state: str, pause: int = 300) -> None:
        page.wait_for_timeout(pause)
        page.screenshot(path=folder / f"{look}_{state}.png")

    page.wait_for_selector("#option-head input[type=range]")
    take("idle", 1000)
    page.click("#consent button")
    page.click("#start")
    wait_for(page, "live")
    take("live", 4000)
    page.click("#overlay")
    take("figures", 2000)
    page.click("#overlay")
    page.check('input[name="view"][value="beside"]', force=True)
    take("beside", 1600)
    page.click("#calibrate")
    take("calibrate")
    for button, state in (("#help", "keys"), ("#preset-menu", "presets"), ("#about", "about")):
        page.click(button)
        take(state)
        page.keyboard.press("Escape")
    for tab in ("File", "Compare"):
        page.get_by_role("tab", name=tab).click()
        take(tab.lower())


if __name__ == "__main__":
    main(sys.argv[1:])
