"""The panel in a real Chromium: what a performer can do on the page, seen in the pictures that come back."""

import json
import re
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

pytest.importorskip("playwright", reason="Playwright is missing: `python -m pip install -r tests/requirements.txt`.")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from pipeline.files.demo_clip import write_demo
from pipeline.imaging.source_picture import BUILTIN, default_portrait
from tests.browser.test_live import difference, held, set_slider, set_switch
from tests.support import browser
from tests.support.browser import chromium, opened, settle, shown, wait_for, webcam
from tests.support.streams import streaming
from tests.support.waiting import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.NO_CHROMIUM),
]

LOOK = """
  const video = document.getElementById("animated");
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const look = (side) => {
    const from = side ?? video.videoWidth;
    context.drawImage(video, 0, 0, from, from, 0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
"""
TINTS = f"""async ([id, frames]) => {{{LOOK}
  const shown = [];
  for (let frame = 0; frame < frames; frame++) {{
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    shown.push([performance.now(), look()]);
    if (frame === Math.round(frames / 3)) document.querySelector(`#tray input[value="${{id}}"]`).click();
  }}
  return shown;
}}"""
ACT = f"""async () => {{{LOOK}
  const green = () => {{
    const [r, g, b] = look(24);
    return g > 180 && r < 80 && b < 80;
  }};
  let frames = 0;
  for (window.puppet.options.set({{ background: "transparent" }}); !green(); frames++)
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
  return frames;
}}"""
CORNER = "() => {" + LOOK + "return look(24); }"
THROUGH = """() => {
  const canvas = document.querySelector("canvas");
  const at = (x, y) => canvas.getContext("2d").getImageData(x * canvas.width, y * canvas.height, 1, 1).data[3];
  return at(0.03, 0.03) === 0 && at(0.5, 0.55) > 250;
}"""
GIVE = """async ([event, url]) => {
  const file = new File([await (await fetch(url)).blob()], "given.jpg", { type: "image/jpeg" });
  const transfer = new DataTransfer();
  transfer.items.add(file);
  const init = { bubbles: true, cancelable: true, clipboardData: transfer, dataTransfer: transfer };
  dispatchEvent(event === "paste" ? new ClipboardEvent(event, init) : new DragEvent(event, init));
}"""


@pytest.fixture(scope="module")
def blue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in portrait with red and blue exchanged."""
    path = tmp_path_factory.mktemp("portraits") / "blue.png"
    cv2.imwrite(str(path), cv2.imdecode(np.frombuffer(default_portrait(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1])
    return path


def red_over_blue(picture: np.ndarray) -> float:
    return float(picture[..., 0].mean() - picture[..., 2].mean())


def add(page: Page, path: Path) -> str:
    """Upload a portrait; its id."""
    before = page.locator("#tray input").count()
    page.set_input_files("#upload", path)
    page.wait_for_function(f"document.querySelectorAll('#tray input').length === {before + 1}")
    page.wait_for_function("[...document.querySelectorAll('#tray input')].at(-1).checked")
    return str(page.locator("#tray input").last.get_attribute("value"))


def test_the_portrait_idles_before_anybody_starts(page):
    page.wait_for_function("document.getElementById('animated').currentTime > 0.5")
    first = shown(page)
    shown(page, lambda picture: difference(first, picture) > 0.3)
    page.click("#start")
    wait_for(page, "live")
    page.click("#stop")
    wait_for(page, "idle")
    page.wait_for_function("document.getElementById('animated').currentTime > 0.2")


def test_it_needs_no_scrolling(page):
    page.wait_for_selector("#option-head input[type=range]")
    sizes = page.evaluate(
        "[document.documentElement.scrollHeight, innerHeight, document.documentElement.scrollWidth, innerWidth]"
    )
    assert sizes[0] <= sizes[1] and sizes[2] <= sizes[3]
    frame = page.locator("#frame").bounding_box()
    assert frame["height"] > 500 and frame["y"] + frame["height"] <= 768


def test_mirror_and_gains_act_on_the_picture(live):
    for name in ("expression", "gaze", "eyes"):
        set_slider(live, name, 0)
    for name in ("yaw", "pitch", "roll", "position"):
        set_slider(live, name, 0)
    still = held(live)
    live.keyboard.press("m")
    mirrored = shown(live, lambda picture: difference(picture[:300, ::-1], still[:300]) < 4)
    assert difference(mirrored[:300], still[:300]) > 4


def corner(picture: np.ndarray) -> np.ndarray:
    """Return the mean colour of the upper left corner."""
    return picture[4:40, 4:40].reshape(-1, 3).mean(0)


def test_the_background_of_the_received_picture(live):
    set_switch(live, "badge", False)
    before = shown(live)
    live.evaluate("window.puppet.options.set({ background: 'transparent' })")
    shown(live, lambda picture: np.abs(corner(picture) - (0, 220, 0)).max() < 50)
    live.evaluate("window.puppet.options.set({ background: 'colour', background_colour: '#2040c0' })")
    shown(live, lambda picture: np.abs(corner(picture) - (0x20, 0x40, 0xC0)).max() < 14)
    assert live.is_visible("#option-background_colour")
    live.evaluate("window.puppet.options.set({ background: 'keep' })")
    shown(live, lambda picture: difference(picture[4:40, 4:40], before[4:40, 4:40]) < 4)


def test_a_control_acts_within_some_pictures(live):
    set_switch(live, "badge", False)
    shown(live)
    assert live.evaluate(ACT) < 60


def test_a_portrait_is_switched_in_the_same_stream(live, blue):
    before = shown(live)
    add(live, blue)
    shown(live, lambda picture: red_over_blue(before) - red_over_blue(picture) > 10)
    live.locator("#tray label").first.click()
    shown(live, lambda picture: red_over_blue(picture) == pytest.approx(red_over_blue(before), abs=4))
    id = live.locator("#tray input").last.get_attribute("value")
    live.evaluate("window.still = document.getElementById('animated').srcObject")
    pictures = live.evaluate(TINTS, [id, 90])
    times, tints = np.array([time for time, _ in pictures]), np.array([red - blue for _, (red, _, blue) in pictures])
    assert tints[:5].mean() - tints[-5:].mean() > 10  # the picture changed
    between = (tints > tints[-5:].mean() + 3) & (tints < tints[:5].mean() - 3)  # the cross-fade: test_crossfade.py
    print(f"longest gap {np.diff(times).max():.0f} ms, {between.sum()} pictures of both")
    assert live.evaluate("window.still === document.getElementById('animated').srcObject")


def test_number_keys_switch(live, blue):
    first = red_over_blue(shown(live))
    add(live, blue)
    shown(live, lambda picture: first - red_over_blue(picture) > 10)
    live.keyboard.press("1")
    shown(live, lambda picture: red_over_blue(picture) == pytest.approx(first, abs=4))
    live.keyboard.press(str(len(BUILTIN) + 1))
    shown(live, lambda picture: first - red_over_blue(picture) > 10)


def test_uploads_stay_with_the_tab(page, blue):
    id = add(page, blue)
    page.reload()
    page.wait_for_function("window.puppet")
    assert page.locator("#tray input").count() == len(BUILTIN) + 1
    assert page.locator("#tray input").last.get_attribute("value") == id
    assert page.locator("#tray img").last.get_attribute("alt") == "blue.png"


def test_a_picture_is_pasted_and_dropped(page, blue):
    url = page.get_attribute("#animated", "poster")
    page.evaluate(GIVE, ["paste", url])
    page.wait_for_function(f"document.querySelectorAll('#tray input').length === {len(BUILTIN) + 1}")
    with page.expect_response("**/portraits?*"):
        page.evaluate(GIVE, ["drop", url])  # the same bytes: no second one
    page.wait_for_function("!document.querySelector('#tray .preparing')")
    assert page.locator("#tray input").count() == len(BUILTIN) + 1


def test_a_snapshot_becomes_a_portrait(page, server):
    page.click("#snapshot")
    page.wait_for_function(f"document.querySelectorAll('#tray input').length === {len(BUILTIN) + 1}")
    assert page.locator("#tray img").last.get_attribute("alt") == "snapshot.png"
    assert server.sessions == 0


def test_two_browsers_never_mix(playwright, server, clip, blue, live):
    with chromium(playwright, *webcam(clip)) as other:
        page = opened(other.pages[0], server.url)
        add(page, blue)
        page.click("#start")
        wait_for(page, "live")
        for _ in range(10):
            ours, theirs = shown(live, frames=3), shown(page, frames=1)
            assert red_over_blue(ours) - red_over_blue(theirs) > 10
        set_switch(page, "mirror", True)
        assert not live.evaluate("window.puppet.options.values.mirror")
    settle(server, 1)


def test_presets_set_save_export_and_import(page, tmp_path):
    value = "document.querySelector('#option-expression input[type=range]').value"
    page.wait_for_selector("#option-expression input[type=range]")
    page.select_option("#preset", "Lively")
    page.wait_for_function(f"{value} === '1.35'")
    assert page.evaluate("window.puppet.options.values.expression") == 1.35
    set_slider(page, "head", 0.5)
    page.wait_for_function("document.getElementById('preset').value === '(changed)'")
    page.click("#preset-menu")
    page.fill("#preset-name", "Mine")
    page.click("#preset-save button")
    with page.expect_download() as download:
        page.click("#preset-export")
    exported = json.loads(Path(download.value.path()).read_text())
    assert exported["name"] == "Mine" and exported["options"]["head"] == 0.5
    page.click("#preset-delete")
    assert "Mine" not in page.inner_text("#preset")
    page.keyboard.press("Escape")
    page.click("#preset-reset")
    page.wait_for_function(f"{value} === '1'")
    (tmp_path / "preset.json").write_text(json.dumps(exported))
    page.set_input_files("#preset-import", tmp_path / "preset.json")
    page.wait_for_function(f"{value} === '1.35'")
    page.reload()
    page.wait_for_function("document.querySelector('#preset option[value=Mine]')")
    (tmp_path / "preset.json").write_text("[]")
    page.set_input_files("#preset-import", tmp_path / "preset.json")
    page.wait_for_function("document.getElementById('preset-note').textContent.includes('not a preset')")


def test_calibrate_counts_down(live):
    live.evaluate("""() => {
      window.said = [];
      const countdown = document.getElementById("countdown");
      new MutationObserver(() => window.said.push(countdown.innerText)).observe(countdown, { childList: true });
    }""")
    live.keyboard.press("c")
    live.wait_for_function("document.getElementById('note').textContent.includes('neutral')")
    assert live.is_hidden("#countdown")
    said = live.evaluate("window.said")
    assert [words[0] for words in said] == ["3", "2", "1"] and all("Look straight" in words for words in said)


def test_space_freezes_and_lets_go(live):
    live.keyboard.press(" ")
    live.wait_for_selector('#freeze[aria-pressed="true"]')
    frozen = held(live)
    live.keyboard.press(" ")
    live.wait_for_selector('#freeze[aria-pressed="false"]')
    shown(live, lambda picture: difference(frozen, picture) > 1.5)


def test_keys_are_listed_and_leave_fields_alone(page):
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    assert {"C", "M", "H", "F", "R", "Space", "1-9"} <= set(page.locator("#keys dt").all_inner_texts())
    page.keyboard.press("Escape")
    page.click("#preset-menu")
    page.fill("#preset-name", "")
    page.type("#preset-name", "hm 1")
    assert page.input_value("#preset-name") == "hm 1"
    assert not page.evaluate("document.body.classList.contains('bare') || window.puppet.options.values.mirror")
    page.keyboard.press("Escape")
    page.keyboard.press("h")
    assert page.is_hidden("#controls")
    page.keyboard.press("h")
    assert page.is_visible("#controls")


def test_views(page):
    sizes = {}
    for view in ("alone", "corner", "beside"):
        page.locator(f'label:has(> input[value="{view}"])').click()
        page.wait_for_selector(f'.views[data-view="{view}"]')
        boxes = [page.locator(name).bounding_box() for name in (".you .frame", "#frame")]
        sizes[view] = [round(box["width"]) if box else 0 for box in boxes]
    assert sizes["beside"][0] == sizes["beside"][1] < sizes["corner"][1] == sizes["alone"][1]
    assert 0 < sizes["corner"][0] < sizes["corner"][1] / 3
    page.reload()
    page.wait_for_function("window.puppet")
    assert page.get_attribute(".views", "data-view") == "beside"


def test_words_over_the_picture(playwright, server, tmp_path):
    clip = tmp_path / "dark.mjpeg"
    write_demo(clip, seconds=3)
    dark = cv2.imencode(".jpg", np.full((512, 512, 3), 5, np.uint8))[1].tobytes()
    clip.write_bytes(clip.read_bytes() + 150 * dark)
    with chromium(playwright, *webcam(clip)) as context:
        page = opened(context.pages[0], server.url)
        page.click("#start")
        wait_for(page, "live")
        page.wait_for_function("document.getElementById('hint').textContent.includes('Too dark')")
    settle(server)


def test_the_output_page_shows_the_portrait_alone_and_lets_the_background_through(live, context, server):
    set_switch(live, "badge", False)
    address = live.get_attribute("#output", "href")
    view = context.new_page()
    view.goto(f"{server.url}/{address}")
    view.wait_for_function("document.querySelector('video').videoWidth > 0")
    assert view.is_hidden("canvas") and view.locator("button, input").count() == 0
    live.evaluate("window.puppet.options.set({ background: 'transparent' })")
    view.wait_for_selector("canvas:not([hidden])")
    until(lambda: view.evaluate(THROUGH))
    assert view.evaluate("document.body.computedStyleMap().get('background-color').toString()") == "rgba(0, 0, 0, 0)"
    assert httpx.get(f"{server.url}/{address.replace('view/', 'session/')}/stats").json()["viewers"] == 1
    view.close()


@pytest.mark.timeout(1200)
def test_a_file_is_animated_beside_a_live_session(live, clip, tmp_path):
    from pipeline.files.video import VideoReader

    film = tmp_path / "me.mp4"
    write_demo(film, seconds=1, size=256)
    live.get_by_role("tab", name="File").click()
    live.set_input_files("#driving", film)
    live.wait_for_selector('.job[data-state="done"] video', timeout=900_000)
    assert live.get_attribute("#status", "data-state") == "live"
    with live.expect_download() as download:
        live.locator('.job[data-state="done"] a').first.click()
    made = tmp_path / "made.mp4"
    download.value.save_as(made)
    with VideoReader(made) as video:
        assert len(list(video)) == 30
    live.click(".job button")
    assert live.locator(".job").count() == 0


def test_a_file_that_cannot_be_animated_says_why(page, tmp_path):
    (tmp_path / "words.mp4").write_text("no film")
    (tmp_path / "words.txt").write_text("no film")
    page.get_by_role("tab", name="File").click()
    page.set_input_files("#driving", tmp_path / "words.txt")
    page.wait_for_function("document.getElementById('files-note').textContent.includes('choose one like .mp4')")
    page.set_input_files("#driving", tmp_path / "words.mp4")
    page.wait_for_selector('.job[data-state="failed"] .bad')
    assert "words.mp4" in page.inner_text(".job")


def test_consent_is_asked_once(page):
    assert "may use" in page.inner_text("#consent")
    page.click("#consent button")
    assert page.is_hidden("#consent")
    page.reload()
    page.wait_for_function("window.puppet")
    assert page.is_hidden("#consent")


@pytest.mark.parametrize(("dark", "phone"), [(False, False), (True, False), (False, True)])
def test_no_serious_barrier(playwright, server, clip, dark, phone):
    with chromium(playwright, *webcam(clip), dark=dark, phone=phone) as context:
        page = opened(context.pages[0], server.url)
        page.wait_for_selector("#option-head input[type=range]")
        for tab in ("Live", "File", "Compare"):
            page.get_by_role("tab", name=tab).click()
            found = Axe().run(page).response["violations"]
            serious = {
                each["id"]: [node["html"][:160] for node in each["nodes"]]
                for each in found
                if each["impact"] in ("serious", "critical")
            }
            assert serious == {}, tab


def test_by_keyboard_alone(page):
    """Tab reaches Start, Enter presses it; the arrows move a slider that has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "start":
            break
    page.keyboard.press("Enter")
    wait_for(page, "live")
    assert page.evaluate("document.activeElement.id") == "stop"
    page.focus("#option-head input[type=range]")
    before = page.evaluate("window.puppet.options.values.head")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"window.puppet.options.values.head < {before}")


def test_the_phone_layout(playwright, server, clip):
    with chromium(playwright, *webcam(clip), phone=True) as context:
        page = opened(context.pages[0], server.url)
        page.wait_for_selector("#option-head input[type=range]")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        frame, start = page.locator("#frame").bounding_box(), page.locator("#start").bounding_box()
        assert frame["width"] > 340 and start["y"] + start["height"] < 844
        assert re.search('facingMode: "user"', httpx.get(f"{server.url}/client/live/devices.js").text)


def test_a_page_for_a_stream_that_drives(playwright, clip, tmp_path):
    film = tmp_path / "driver.mp4"
    write_demo(film, seconds=4, size=320)
    with browser.Server(driver="whip") as server, chromium(playwright) as context:
        page = opened(context.pages[0], server.url)
        assert "the stream moves" in wait_for(page, "idle")
        page.click("#start")
        assert "No stream has arrived yet" in wait_for(page, "error")
        with streaming(f"{server.url}/whip", film, tmp_path):
            page.click("#start")
            wait_for(page, "live")
            page.evaluate(
                "window.puppet.options.set({ background: 'colour', background_colour: '#2040c0', badge: false })"
            )
            until(lambda: np.abs(page.evaluate(CORNER) - np.array((0x20, 0x40, 0xC0))).max() < 20)
            page.click("#freeze")
            page.wait_for_selector('#freeze[aria-pressed="true"]')
            page.click("#stop")
            wait_for(page, "idle")
            assert server.sessions == 1  # the stream's own, which the page only watched


def test_r_records_and_offers_the_file(live):
    live.keyboard.press("r")
    live.wait_for_function("document.getElementById('record').textContent.startsWith('Stop · ')")
    live.wait_for_function("document.getElementById('record').textContent !== 'Stop · 0 s'")
    live.keyboard.press("r")
    live.wait_for_selector("#note a")
    assert live.inner_text("#note").startswith("Download the recording (")
    with live.expect_download() as download:
        live.click("#note a")
    assert Path(download.value.path()).read_bytes()[4:8] == b"ftyp"


def test_what_the_server_refuses_is_said(live):
    live.route("**/virtual-camera", lambda route: route.fulfill(status=503, json={"detail": "No driver; install one."}))
    live.click("#virtual-camera")
    live.wait_for_function("document.getElementById('note').textContent === 'No driver; install one.'")
    assert live.get_attribute("#virtual-camera", "aria-pressed") == "false"
