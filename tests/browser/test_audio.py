"""The voice in a real Chromium: off until asked for, back in the stream, and in step with the pictures."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

pytest.importorskip("playwright", reason="Playwright is missing: `python -m pip install -r tests/requirements.txt`.")

from playwright.sync_api import BrowserContext, Page, Playwright

from tests.support import browser
from tests.support.browser import opened, wait_for
from tests.support.waiting import until
from tests.tools import lip_sync

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.NO_CHROMIUM),
]

WATCH_ASKING = """() => {
  window.asked = [];
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    window.asked.push(wanted);
    if (wanted.audio && window.blocked) throw new DOMException("", "NotAllowedError");
    const stream = await ask(wanted);
    window.microphone = stream.getAudioTracks()[0] ?? window.microphone;
    return stream;
  };
}"""


@pytest.fixture
def page(context: BrowserContext, server: browser.Server) -> Iterator[tuple[Page, list[str]]]:
    """The page, and where its sessions were."""
    page = opened(context.new_page(), server.url)
    page.evaluate(WATCH_ASKING)
    locations: list[str] = []
    page.on("response", lambda response: locations.extend(filter(None, [response.headers.get("location")])))
    yield page, locations
    page.close()


def told(at: Page, server: browser.Server, locations: list[str], wanted: bool) -> dict[str, float] | None:
    """What the newest session tells of a voice, once there is one, or none."""

    def look() -> list[dict[str, float] | None]:
        at.wait_for_timeout(50)
        response = httpx.get(f"{server.url}{locations[-1]}/stats")
        audio = response.json().get("audio") if response.is_success else None
        return [audio] if response.is_success and (audio is not None) is wanted else []

    [found] = until(look)
    return found


def test_the_voice_is_off_until_its_switch_is_on(page: tuple[Page, list[str]], server: browser.Server) -> None:
    at, locations = page
    at.click("#start")
    wait_for(at, "live")
    assert told(at, server, locations, False) is None
    assert not [wanted for wanted in at.evaluate("window.asked") if wanted["audio"]]
    assert at.evaluate("document.getElementById('animated').srcObject.getAudioTracks().length") == 0

    at.check("#audio")
    at.wait_for_function("document.getElementById('animated').srcObject?.getAudioTracks().length === 1")
    wait_for(at, "live")
    voice = told(at, server, locations, True)
    assert voice is not None and set(voice) == {"delay_ms", "error_ms"} and voice["delay_ms"] >= 0
    assert len(locations) == 2 and server.sessions == 1  # begun anew, and nothing is left of the first
    assert at.evaluate("document.getElementById('animated').muted")
    [wanted] = [wanted for wanted in at.evaluate("window.asked") if wanted["audio"]]
    assert "video" not in wanted and wanted["audio"]["echoCancellation"] is False

    at.uncheck("#audio")
    assert told(at, server, locations, False) is None
    assert at.evaluate("window.microphone.readyState") == "ended"
    at.check("#audio")
    told(at, server, locations, True)
    assert len(locations) == 2  # the connection has a place for it already

    at.click("#stop")
    wait_for(at, "idle")
    assert at.evaluate("window.microphone.readyState") == "ended"
    at.click("#start")
    wait_for(at, "live")
    told(at, server, locations, True)
    assert len(locations) == 3


def test_a_blocked_microphone_leaves_the_pictures_alone(page: tuple[Page, list[str]], server: browser.Server) -> None:
    at, locations = page
    at.evaluate("window.blocked = true")
    at.check("#audio")
    at.click("#start")
    wait_for(at, "live")
    assert "microphone is blocked" in at.inner_text("#note")
    assert not at.is_checked("#audio")
    assert told(at, server, locations, False) is None and len(locations) == 1


def test_the_voice_waits_for_a_slow_animator(playwright: Playwright) -> None:
    found = lip_sync.measure(playwright, "H264", work=0.2, seconds=4, warm_up=3)
    assert found.picture > 200  # ms
    assert found.told is not None and set(found.told) == {"delay_ms", "error_ms"}
