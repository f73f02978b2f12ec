"""What the page shows, and keeps, before its scripts have loaded: nothing that a quick user does is lost."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

pytest.importorskip("playwright", reason="Playwright is missing: `python -m pip install -r tests/requirements.txt`.")

from playwright.sync_api import BrowserContext, Page, Route

from pipeline.imaging.source_picture import BUILTIN, default_portrait
from tests.browser.test_live import set_slider
from tests.browser.test_panel import GIVE
from tests.support import browser
from tests.support.browser import settle, wait_for

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.NO_CHROMIUM),
]

MAIN = "**/client/live/main.js"
WAITING = "One moment: the page is still loading."


class Held:
    """Requests for `pattern` that wait until they are released."""

    def __init__(self, page: Page, pattern: str) -> None:
        self._routes: list[Route] | None = []
        page.route(pattern, self._hold)

    def _hold(self, route: Route) -> None:
        route.continue_() if self._routes is None else self._routes.append(route)

    def release(self) -> None:
        routes, self._routes = self._routes or [], None
        for route in routes:
            route.continue_()


@pytest.fixture
def page(context: BrowserContext, server: browser.Server) -> Iterator[Page]:
    """A page that is not opened yet."""
    complaints: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.evaluate("() => localStorage.clear()")
    page.close()
    assert complaints == []
    settle(server)


def open_without(page: Page, server: browser.Server, pattern: str = MAIN) -> Held:
    """Open the page, with the scripts of `pattern` still on their way."""
    held = Held(page, pattern)
    page.goto(server.url, wait_until="commit")
    page.wait_for_selector("#start")
    return held


def test_the_first_paint_is_our_own(page, server):
    held = open_without(page, server, "**/*.js")
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    assert page.title() == "Portrait puppet"
    words = page.inner_text("body")
    assert "Press Start" in words and "Loading" not in words
    assert page.is_enabled("#start") and page.is_enabled("#demo") and page.is_disabled("#stop")
    shown = cv2.imdecode(np.frombuffer(page.locator("#frame").screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert shown.std() > 20  # the portrait at rest
    before = page.locator("#start").bounding_box()
    held.release()
    page.wait_for_selector("#option-head input[type=range]")
    assert page.locator("#first-paint").count() == 0 and page.locator("#stage #start").count() == 1
    assert page.locator("#start").bounding_box() == before  # nothing jumps


def test_start_works_before_gradio_has_loaded(page, server):
    held = open_without(page, server, "**/assets/*.js")
    page.click("#start")
    wait_for(page, "live")
    held.release()
    page.wait_for_selector("#option-head input[type=range]")
    assert wait_for(page, "live")
    set_slider(page, "head", 0.5)
    page.wait_for_function("window.puppet.options.values.head === 0.5")


@pytest.mark.parametrize("button", ["start", "demo"])
def test_an_early_click_goes_live(page, server, button):
    held = open_without(page, server)
    page.click(f"#{button}")
    assert wait_for(page, "connecting") == WAITING
    held.release()
    wait_for(page, "live")


def test_an_early_file_and_an_early_slider_take_effect(page, server, tmp_path):
    path = tmp_path / "mine.jpg"
    path.write_bytes(default_portrait())
    held = open_without(page, server)
    page.set_input_files("#upload", path)
    page.wait_for_selector("#option-head input[type=range]")
    set_slider(page, "head", 0.5)
    held.release()
    page.wait_for_function("window.puppet?.options.values.head === 0.5")
    page.wait_for_function(f"document.querySelectorAll('#tray input').length === {len(BUILTIN) + 1}")
    page.wait_for_function("document.getElementById('preset').value === '(changed)'")


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_an_early_picture_is_taken(page, server, event):
    held = open_without(page, server)
    page.evaluate(GIVE, [event, page.get_attribute("#animated", "poster")])
    held.release()
    page.wait_for_function(f"document.querySelectorAll('#tray input').length === {len(BUILTIN) + 1}")


def test_early_switches_and_keys(page, server):
    held = open_without(page, server)
    page.click("#overlay")
    page.eval_on_selector('input[name="view"][value="beside"]', "input => input.click()")
    page.click("#snapshot")
    page.keyboard.press("h")
    held.release()
    page.wait_for_selector("#figures", state="visible")
    assert page.get_attribute(".views", "data-view") == "beside"
    assert page.evaluate("document.body.classList.contains('bare')")
    page.wait_for_function(f"document.querySelectorAll('#tray input').length === {len(BUILTIN) + 1}")


def test_an_early_preset_is_saved(page, server):
    held = open_without(page, server)
    page.click("#preset-menu")
    page.fill("#preset-name", "Mine")
    page.click("#preset-save button")
    assert page.inner_text("#preset-note") == WAITING
    held.release()
    page.wait_for_function("document.getElementById('preset').value === 'Mine'")


def test_early_work_on_the_other_tabs(page, server, tmp_path):
    (tmp_path / "words.txt").write_text("no film")
    page.route("**/jobs/compare", lambda route: route.fulfill(status=503, json={"detail": "Not today."}))
    held = open_without(page, server, "**/client/jobs/*.js")
    page.get_by_role("tab", name="File").click()
    page.set_input_files("#driving", tmp_path / "words.txt")
    page.get_by_role("tab", name="Compare").click()
    page.click("#compare")
    assert page.inner_text("#compare-note") == WAITING
    held.release()
    page.wait_for_function("document.getElementById('compare-note').textContent === 'Not today.'")
    page.get_by_role("tab", name="File").click()
    page.wait_for_function("document.getElementById('files-note').textContent.includes('choose one like .mp4')")


def test_a_page_that_cannot_load_says_so(page, server):
    page.route(MAIN, lambda route: route.abort())
    page.goto(server.url)
    assert "Reload it" in wait_for(page, "error")
