"""The page in a real Chromium, against the real server and animator, driven by a clip that the project makes."""

import re
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

pytest.importorskip("playwright", reason="Playwright is missing: `python -m pip install -r tests/requirements.txt`.")

from playwright.sync_api import Page

from pipeline.face.tracker import FaceTracker
from pipeline.files.demo_clip import write_demo
from pipeline.imaging.source_picture import BUILTIN, default_portrait
from realtime.bench import timecode
from tests.support import browser
from tests.support.browser import chromium, grab, opened, settle, shown, wait_for, webcam
from tests.support.waiting import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.NO_CHROMIUM),
]

OFFER = """async () => {
  const connection = new RTCPeerConnection();
  connection.addTransceiver("video");
  await connection.setLocalDescription();
  const headers = { "Content-Type": "application/sdp" };
  const answer = await fetch("session", { method: "POST", headers, body: connection.localDescription.sdp });
  return answer.headers.get("Location");
}"""
CARRY_CODES = """
from dataclasses import replace
import web.serve
from realtime.bench.timecode import CodeCarrier
load = web.serve.load_engine
def load_carrier(settings, progress):
    engine = load(settings, progress)
    return replace(engine, loaded=replace(engine.loaded, animator=CodeCarrier(engine.loaded.animator)))
web.serve.load_engine = load_carrier
"""
WATCH = """async (milliseconds) => {
  const found = { camera: [], animated: [], measured: [] };
  const strip = Object.assign(document.createElement("canvas"), { width: 16, height: 2 });
  const context = strip.getContext("2d", { willReadFrequently: true });
  const watch = (id, times) => {
    const video = document.getElementById(id);
    const note = (_, frame) => {
      const now = performance.now();
      context.drawImage(video, 0, 0, video.videoWidth, 2 * Math.floor(video.videoHeight / 32), 0, 0, 16, 2);
      const green = [...context.getImageData(0, 0, 16, 2).data].filter((_, i) => i % 4 === 1);
      found[id].push([green, ...times(frame, now)]);
      video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
  };
  watch("camera", (frame) => [frame.captureTime]);
  watch("animated", (frame, now) => [frame.rtpTimestamp, now]);
  const { glassToGlass } = window.puppet.meters;
  const onAnswer = glassToGlass.onAnswer.bind(glassToGlass);
  glassToGlass.onAnswer = (message) => {
    const pictures = onAnswer(message);
    found.measured.push(...pictures.map(({ timestamp, latency }) => [timestamp, latency]));
    return pictures;
  };
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  return found;
}"""
START = b"\xff\xd8"  # of a JPEG
STILL = ("head", "expression", "mouth", "eyes", "brows", "gaze")


def yaw_and_gap(models, pictures) -> np.ndarray:
    """(n, 2) head yaw in degrees and lip gap in cm, tracked through the pictures."""
    tracker = FaceTracker(models)
    faces = [tracker.track(picture, number / 5, 0.0) for number, picture in enumerate(pictures)]
    assert all(faces)
    return np.array([(face.pose.yaw, face.lip_gap) for face in faces])


def numbered(mjpeg: bytes) -> bytes:
    """The clip with its frames' numbers as time codes."""
    frames = []
    for number, jpeg in enumerate(mjpeg.split(START)[1:]):
        picture = cv2.imdecode(np.frombuffer(START + jpeg, np.uint8), cv2.IMREAD_COLOR)
        height, width = picture.shape[0] // 32 * 2, picture.shape[1]
        cells = (timecode.to_cells(number) * 255).astype(np.uint8)
        picture[:height] = cv2.resize(cells, (width, height), interpolation=cv2.INTER_NEAREST)[..., None]
        frames.append(cv2.imencode(".jpg", picture)[1].tobytes())
    return b"".join(frames)


def number_in(green: list[int]) -> int | None:
    return timecode.from_cells(np.array(green).reshape(2, 16) > timecode.THRESHOLD)


def set_slider(page: Page, name: str, value: float) -> None:
    page.locator(f"#option-{name} input[type=range]").fill(str(value))


def set_switch(page: Page, name: str, on: bool) -> None:
    page.locator(f"#option-{name} input[type=checkbox]").set_checked(on)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference in gray levels."""
    return float(np.abs(first.astype(float) - second).mean())


def changed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return which pixels differ clearly."""
    return np.abs(first.astype(int) - second).max(-1) > 40


def held(page: Page) -> np.ndarray:
    """Return the animated picture once it moves no more."""

    def look() -> list[np.ndarray]:
        pictures = [animated for _, animated in grab(page, 3, 15)]
        return pictures if max(difference(pictures[0], other) for other in pictures[1:]) < 1.5 else []

    return until(look)[-1]


def test_the_page_at_rest(page):
    assert wait_for(page, "idle") == "Press Start: your camera’s picture moves the portrait."
    assert page.is_enabled("#start") and page.is_disabled("#stop") and page.is_disabled("#calibrate")
    poster = page.get_attribute("#animated", "poster")
    assert httpx.get(f"{page.url}{poster}").headers["content-type"] == "image/jpeg"


def test_the_portrait_follows(playwright, server, clip, models, tmp_path):
    poses = tmp_path / "poses.mjpeg"
    start, most = posed(poses, clip.read_bytes(), models)
    with chromium(playwright, *webcam(poses)) as context:
        page = opened(context.pages[0], server.url)
        page.click("#start")
        wait_for(page, "live")
        for column in (0, 1):
            for sign in (1, -1) if column == 0 else (1,):
                wanted = sign * 0.6 * (sign * (most[:, column] - start[column])).max()
                until(lambda column=column, wanted=wanted: all(agree(page, models, column, start, wanted)))
        assert int(page.inner_text("#fps").split()[0]) > 0
        assert int(page.inner_text("#latency").split()[0]) > 0
        assert "server" in page.get_attribute("#latency", "title")
    settle(server)


def agree(page: Page, models, column: int, start: np.ndarray, wanted: float) -> list[bool]:
    """Return whether driver and puppet show at least so much of a motion."""
    [pair] = grab(page, 1, 5)
    moved = [(yaw_and_gap(models, [picture])[0] - start)[column] / wanted for picture in pair]
    return [moved[0] > 1, moved[1] > 0.5]


def posed(path: Path, mjpeg: bytes, models) -> tuple[np.ndarray, np.ndarray]:
    """Write a clip that holds the first frame and those of most yaw and lip gap; return yaw and gap of these."""
    jpegs = [START + jpeg for jpeg in mjpeg.split(START)[1:]]
    pictures = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for jpeg in jpegs[::6]]
    found = yaw_and_gap(models, pictures)
    chosen = [6 * index for index in (found[:, 0].argmax(), found[:, 0].argmin(), found[:, 1].argmax())]
    path.write_bytes(b"".join(75 * jpegs[index] for index in (0, *chosen)))  # 2.5 s each
    return found[0], found[[index // 6 for index in chosen]]


def test_latency_is_measured_as_a_time_code_has_it(playwright, clip, tmp_path):
    coded = tmp_path / "numbered.mjpeg"
    coded.write_bytes(numbered(clip.read_bytes()))
    with browser.Server(CARRY_CODES) as server, chromium(playwright, *webcam(coded)) as context:
        page = opened(context.pages[0], server.url)
        with page.expect_response("**/session?*") as answer:
            page.click("#start")
        session = answer.value.headers["location"]
        wait_for(page, "live")
        grab(page, frames=60)
        found = page.evaluate(WATCH, 4000)
        told = httpx.get(f"{server.url}{session}/stats").json()["page"]["glass_to_glass_ms"]
    captured = {number_in(green): time for green, time in found["camera"]}
    measured = dict(found["measured"])
    errors = [
        measured[timestamp] - (shown - captured[number])
        for green, timestamp, shown in found["animated"]
        if timestamp in measured and (number := number_in(green)) is not None and number in captured
    ]
    latencies = list(measured.values())
    assert abs(float(np.median(errors))) < 0.1 * np.median(latencies)  # see realtime/webrtc/capture_clock.py
    assert 0.5 * min(latencies) <= told["p50"] <= 2 * max(latencies)


def test_the_figures_are_drawn_over_the_picture_on_demand(live, server):
    assert live.is_hidden("#figures")
    live.click("#overlay")
    live.wait_for_function("document.querySelector('[data-figure=p95]').textContent.includes('glass to glass')")
    live.wait_for_function("document.querySelector('#figures .median').getAttribute('points')?.split(' ').length >= 3")
    said = {part: live.inner_text(f"[data-figure={part}]") for part in ("latency", "fps", "drops", "freezes")}
    assert int(said["latency"].removesuffix(" ms")) > 0
    assert said["fps"].endswith(" out") and int(said["fps"].split()[0]) > 0
    assert int(said["drops"].split(" of ")[1]) > 0 and said["freezes"].isdecimal()
    live.click("#overlay")
    assert live.is_hidden("#figures") and live.get_attribute("#overlay", "aria-pressed") == "false"


def test_sliders_and_switches_act(live, models):
    def turning() -> float:
        return yaw_and_gap(models, [animated for _, animated in grab(live, 12, 4)])[:, 0].std()

    until(lambda: turning() > 1)  # degrees
    moving = turning()
    set_slider(live, "head", 0)
    until(lambda: 2 * turning() < max(1, moving))  # the tracker adds some on a compressed picture

    for name in STILL:
        set_slider(live, name, 0)
    still = held(live)
    set_switch(live, "badge", False)
    bare = shown(live, lambda picture: changed(picture, still).sum() > 50)
    assert np.argwhere(changed(bare, still))[:, 0].min() > 320  # the badge at the foot, nothing else
    set_switch(live, "mirror", True)
    mirrored = shown(live, lambda picture: difference(picture[:, ::-1], bare) < 3)
    assert difference(mirrored, bare) > 3


def test_calibrate_says_so(live):
    live.click("#calibrate")
    live.wait_for_function("document.getElementById('note').textContent.includes('neutral')")
    assert wait_for(live, "live")


def test_the_portrait_is_switched_live(live, tmp_path):
    portrait = cv2.imdecode(np.frombuffer(default_portrait(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]  # red is blue
    cv2.imwrite(str(tmp_path / "blue.png"), portrait)
    [(_, before)] = grab(live)
    live.evaluate("window.still = document.getElementById('animated').srcObject")
    live.set_input_files("#upload", tmp_path / "blue.png")
    live.wait_for_function(f"document.querySelectorAll('#tray input').length === {len(BUILTIN) + 1}")
    live.wait_for_function("[...document.querySelectorAll('#tray input')].at(-1).checked")
    after = shown(live, lambda picture: difference(before, picture) > 10)
    assert live.evaluate("window.still === document.getElementById('animated').srcObject")  # no new session
    live.locator("#tray label").first.click()
    shown(live, lambda picture: difference(after, picture) > 10)


def test_a_file_that_is_no_picture(live, tmp_path):
    (tmp_path / "words.png").write_text("not a picture")
    live.set_input_files("#upload", tmp_path / "words.png")
    live.wait_for_function("document.getElementById('note').textContent.includes('not a picture')")
    assert live.locator("#tray input").count() == len(BUILTIN)
    assert wait_for(live, "live")


def test_stop_ends_the_session(live, server):
    assert server.sessions == 1
    live.click("#stop")
    wait_for(live, "idle")
    settle(server)
    assert live.evaluate("document.getElementById('animated').srcObject") is None
    assert live.evaluate("document.getElementById('camera').srcObject") is None
    live.click("#start")
    wait_for(live, "live")


def test_stop_while_it_connects(page, server):
    page.click("#start")
    page.click("#stop")
    wait_for(page, "idle")
    settle(server)


def test_reload_leaves_nothing(live, server):
    live.reload()
    settle(server)


def test_a_closed_tab_leaves_nothing(context, server):
    page = opened(context.new_page(), server.url)
    page.click("#start")
    wait_for(page, "live")
    page.close()
    settle(server)


def ended(server: browser.Server, reason: str) -> float:
    """Return how many sessions ended for this reason."""
    found = re.search(rf'^puppet_sessions_ended_total{{reason="{reason}"}} (.*)$', metrics(server), re.MULTILINE)
    return float(found[1]) if found else 0.0


def metrics(server: browser.Server) -> str:
    return httpx.get(f"{server.url}/metrics").text


def test_a_tab_that_cannot_say_goodbye_leaves_nothing(context, server):
    page = opened(context.new_page(), server.url)
    page.wait_for_function("window.page")
    page.click("#start")
    wait_for(page, "live")
    page.evaluate("() => { navigator.sendBeacon = fetch = RTCPeerConnection.prototype.close = async () => {}; }")
    silent = ended(server, "silent")
    page.close()
    settle(server)
    assert ended(server, "silent") == silent  # its end was heard, not concluded from silence


def test_a_lost_session_is_replaced(page, server):
    locations = []
    page.on("response", lambda response: locations.append(response.headers.get("location")))
    page.click("#start")
    wait_for(page, "live")
    [location] = filter(None, locations)
    httpx.delete(f"{server.url}{location}")
    until(lambda: page.wait_for_timeout(50) or len(list(filter(None, locations))) == 2)
    wait_for(page, "live")


def test_a_full_server_says_so(page, server):
    taken = [page.evaluate(OFFER) for _ in range(2)]
    page.click("#start")
    assert "2 sessions are in use" in wait_for(page, "error")
    assert page.is_enabled("#start")
    for location in taken:
        httpx.delete(f"{server.url}{location}")


def test_a_lost_face_brings_the_portrait_to_rest(playwright, server, tmp_path):
    clip = tmp_path / "leaves.mjpeg"
    write_demo(clip, seconds=3)
    dark = cv2.imencode(".jpg", np.zeros((512, 512, 3), np.uint8))[1].tobytes()
    clip.write_bytes(clip.read_bytes() + 150 * dark)
    with chromium(playwright, *webcam(clip)) as context:
        page = opened(context.pages[0], server.url)
        page.click("#start")
        wait_for(page, "live")
        assert "out of view" in wait_for(page, "lost")
        poster = httpx.get(f"{page.url}{page.get_attribute('#animated', 'poster')}").content
        rest = cv2.imdecode(np.frombuffer(poster, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        rest = cv2.resize(rest, (384, 384), interpolation=cv2.INTER_AREA)
        shown(page, lambda picture: difference(picture, rest) < 8)  # it breathes


def test_the_demo_driver(page):
    page.click("#demo")
    wait_for(page, "live")


def test_an_insecure_page_says_so(page):
    page.evaluate("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    page.click("#start")
    assert "--ssl-certfile" in wait_for(page, "error")


def test_no_permission(playwright, server, clip):
    with chromium(playwright, webcam(clip)[0], webcam(clip)[2], "--deny-permission-prompts") as context:
        page = opened(context.pages[0], server.url)
        page.click("#start")
        assert "camera is blocked" in wait_for(page, "error")
        assert server.sessions == 0


def test_no_camera(playwright, server):
    with chromium(playwright, "--use-fake-ui-for-media-stream") as context:
        page = opened(context.pages[0], server.url)
        page.click("#start")
        assert "No camera was found" in wait_for(page, "error")


def test_ctrl_c_with_an_open_session(playwright, clip):
    with browser.Server() as server, chromium(playwright, *webcam(clip)) as context:
        assert server.line.startswith("Portrait puppet: http://127.0.0.1:") and "meshwarp" in server.line
        page = opened(context.pages[0], server.url)
        page.click("#start")
        wait_for(page, "live")
        assert server.stop() == 0
        wait_for(page, "connecting")
