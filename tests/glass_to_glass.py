"""Measure glass-to-glass latency: python -m tests.glass_to_glass [--seconds 12] [--stand-in].

A real server and a headless Chromium on this machine. The page draws the time into each frame of its camera; the
animator is wrapped so that it copies this code from the driver's picture into the puppet's; the page reads it back when
a frame is presented. Left out: a camera's exposure and a monitor's refresh. Everything shares this machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import uvicorn
from playwright.async_api import async_playwright

from pipeline.animator import Animator, Cue, DrivingFrame, Layout, Motion, Picture, Portrait, Progress
from pipeline.demo import write_demo
from pipeline.planes import laid_out
from realtime.settings import MediaSettings
from realtime.stats import percentiles
from tests.browser import CHROMIUM, FLAGS, OFFLINE
from web.app import create_app
from web.engine import load_engine
from web.settings import Settings

BITS = 16
CODE_HEIGHT = 24
WARM_UP_SECONDS = 6
PAGE = """
async ({pictures, codec}) => {
  const BITS = 16, HEIGHT = 24;
  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const bitmaps = await Promise.all(pictures.map(p => createImageBitmap(new Blob([bytes(p)], {type: 'image/jpeg'}))));
  const canvas = Object.assign(document.createElement('canvas'), {width: 640, height: 480});
  const camera = canvas.getContext('2d');
  const track = canvas.captureStream(0).getVideoTracks()[0];
  let drawn = 0;
  setInterval(() => {
    camera.drawImage(bitmaps[drawn++ % bitmaps.length], 0, 0, 640, 480);
    const code = Math.round(performance.now()) & 0xffff;
    for (let bit = 0; bit < BITS; bit++) {
      camera.fillStyle = code >> bit & 1 ? 'white' : 'black';
      camera.fillRect(bit * 640 / BITS, 0, 640 / BITS, HEIGHT);
    }
    track.requestFrame();
  }, 1000 / 30);

  const pc = new RTCPeerConnection({iceServers: []});
  const transceiver = pc.addTransceiver(track, {direction: 'sendrecv'});
  const codecs = RTCRtpReceiver.getCapabilities('video').codecs;
  transceiver.setCodecPreferences(codecs.filter(c => c.mimeType === 'video/' + codec || c.mimeType === 'video/rtx'));
  const control = pc.createDataChannel('control');
  const video = Object.assign(document.createElement('video'), {autoplay: true, muted: true, width: 512});
  document.body.append(video);
  const opened = performance.now();
  const seen = window.seen = [];
  pc.ontrack = event => {
    video.srcObject = new MediaStream([event.track]);
    const strip = new OffscreenCanvas(512, HEIGHT).getContext('2d', {willReadFrequently: true});
    const read = () => {
      const now = performance.now();
      strip.drawImage(video, 0, 0, video.videoWidth, HEIGHT, 0, 0, 512, HEIGHT);
      const row = strip.getImageData(0, HEIGHT / 2, 512, 1).data;
      let code = 0;
      for (let bit = 0; bit < BITS; bit++) if (row[4 * (bit + 0.5) * 512 / BITS] > 127) code |= 1 << bit;
      seen.push([now, (Math.round(now) - code) & 0xffff]);
      window.first ??= now - opened;
      video.requestVideoFrameCallback(read);
    };
    video.requestVideoFrameCallback(read);
  };
  await pc.setLocalDescription();
  const headers = {'content-type': 'application/sdp'};
  const answer = await fetch('/session', {method: 'POST', headers, body: pc.localDescription.sdp});
  await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
  window.pc = pc;
  window.session = answer.headers.get('location');
  control.onopen = () => setInterval(() => control.send('{"type": "ping"}'), 1000);
}
"""

REPORT = """
async () => {
  const found = {first: window.first, seen: window.seen.splice(0)};
  for (const s of (await window.pc.getStats()).values()) {
    if (s.type === 'inbound-rtp') found.in = s;
    if (s.type === 'outbound-rtp') found.out = s;
  }
  found.server = await (await fetch(window.session + '/stats')).json();
  return found;
}
"""


class CodeCopier:
    """An animator whose pictures carry the code of the driver's frame that they follow."""

    def __init__(self, animator: Animator) -> None:
        self._animator = animator
        self._code = threading.local()
        self.name, self.supports = animator.name, animator.supports

    def warm_up(self, progress: Progress) -> float | None:
        return self._animator.warm_up(progress)

    def prepare(self, picture: Picture) -> Portrait:
        return self._animator.prepare(picture)

    def read_motion(self, frames: Sequence[DrivingFrame]) -> list[Motion | None]:
        self._code.bits = read_code(frames[-1].picture)
        return self._animator.read_motion(frames)

    def animate(self, cues: Sequence[Cue], layout: Layout = "rgb") -> list[Picture]:
        pictures = self._draw(cues)
        for picture in pictures:
            write_code(picture, getattr(self._code, "bits", [False] * BITS))
        return [laid_out(picture, layout) for picture in pictures]

    def _draw(self, cues: Sequence[Cue]) -> list[Picture]:
        return self._animator.animate(cues)


class StandIn(CodeCopier):
    """Shows the portrait's picture as it is, which costs nothing: what is left is the way there and back."""

    def _draw(self, cues: Sequence[Cue]) -> list[Picture]:
        return [cv2.resize(cue.portrait.picture, (512, 512)) for cue in cues]


def read_code(picture: Picture) -> list[bool]:
    step = picture.shape[1] // BITS
    return [bool(level > 127) for level in picture[CODE_HEIGHT // 2, step // 2 :: step, 1][:BITS]]


def write_code(picture: Picture, bits: Sequence[bool]) -> None:
    step = picture.shape[1] // BITS
    for i, bit in enumerate(bits):
        picture[:CODE_HEIGHT, i * step : (i + 1) * step] = 255 * bit


@contextmanager
def served(stand_in: bool) -> Iterator[str]:
    """The URL of a server in a thread of this process."""
    settings = Settings(port=0, media=MediaSettings(strict=True))
    engine = load_engine(settings, lambda done, total: None)
    copier = (StandIn if stand_in else CodeCopier)(engine.loaded.animator)
    engine = replace(engine, loaded=replace(engine.loaded, animator=copier))
    config = uvicorn.Config(create_app(settings, engine), port=0, log_level="critical", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def driver_pictures(folder: Path) -> list[str]:
    """Three seconds of the scripted driver as JPEG in base64."""
    clip = folder / "driver.mp4"
    write_demo(clip, seconds=3, fps=10)
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    wide = [cv2.copyMakeBorder(frame, 0, 0, 85, 85, cv2.BORDER_REPLICATE) for frame in frames]
    there = [base64.b64encode(cv2.imencode(".jpg", picture)[1].tobytes()).decode() for picture in wide]
    steady = [picture for picture in there for _ in range(3)]
    return steady + steady[::-1]


async def measure(url: str, pictures: list[str], codec: str, seconds: float) -> None:
    async with async_playwright() as playwright:
        with tempfile.TemporaryDirectory() as profile:
            browser = await playwright.chromium.launch_persistent_context(
                profile, executable_path=CHROMIUM, headless=False, args=[*FLAGS, OFFLINE]
            )
            page = await browser.new_page()
            await page.goto(f"{url}/health")
            await page.evaluate(PAGE, {"pictures": pictures, "codec": codec})
            await asyncio.sleep(WARM_UP_SECONDS)
            before, memory = await page.evaluate(REPORT), resident_megabytes()
            await asyncio.sleep(seconds)
            print(f"{codec}: memory {memory:.1f} MB before, {resident_megabytes():.1f} MB after, of server and script")
            print_report(codec, before, await page.evaluate(REPORT), seconds)
            await browser.close()


def resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def print_report(codec: str, before: dict[str, Any], after: dict[str, Any], seconds: float) -> None:
    latencies = [latency for _, latency in after["seen"]]
    slope = np.polyfit([time / 60_000 for time, _ in after["seen"]], latencies, 1)[0]
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(after["seen"])]
    up, down = (
        (after[way][key] - before[way][key]) * 8 / seconds / 1e6
        for way, key in (("out", "bytesSent"), ("in", "bytesReceived"))
    )
    server = after["server"]
    milliseconds = {name: round(value) for name, value in percentiles(latencies).items()}
    print(f"{codec}: glass to glass {milliseconds} ms over {len(latencies)} frames, {slope:+.1f} ms a minute")
    print(f"  {len(latencies) / seconds:.1f} fps, longest gap {max(gaps):.0f} ms, first frame {before['first']:.0f} ms")
    print(f"  {up:.2f} Mbit/s up, {down:.2f} Mbit/s down, {server['state']}, {server['warnings']}")
    print(f"  server {server['fps']} fps, {server['frames']}")
    for rank in ("p50", "p95"):
        print(f"  {rank} ms: { ({stage: times[rank] for stage, times in server['stages_ms'].items()}) }")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--codecs", nargs="+", default=["H264", "VP8"])
    parser.add_argument("--stand-in", action="store_true", help="with an animator that costs nothing")
    chosen = parser.parse_args()
    sys.setswitchinterval(0.001)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        pictures = driver_pictures(Path(folder))
    with served(chosen.stand_in) as url:
        for codec in chosen.codecs:
            asyncio.run(measure(url, pictures, codec, chosen.seconds))


if __name__ == "__main__":
    main()
