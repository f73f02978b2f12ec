"""Measure lip sync in a real Chromium: `python -m tests.tools.lip_sync [--seconds 12]`.

A page sends numbered pictures and a beep every 0.7 s, and notes when each leaves and comes back. The error of a beep is
how much longer it took than the pictures around it; it is positive if the voice is late. The time that the page itself
needs to make and hear a beep without a connection is measured too and subtracted. The server is the real one; its
animator shows the number of the driver's picture after some milliseconds of work.
"""

from __future__ import annotations

import argparse
import bisect
import math
import statistics
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
from playwright.sync_api import Playwright, sync_playwright

from pipeline.core.animator import Cue, Picture
from realtime.webrtc.codec import CODECS
from tests.support.browser import chromium, opened, wait_for
from tests.support.fakes import LOOPBACK, SIZE, FakeAnimator
from tests.support.web_app import make_engine
from web.app import create_app
from web.cli.latency import _served
from web.core.settings import Settings

ABOUT_MS = 500  # a beep is compared with the pictures this close to it
LONGEST_MS = 600  # a beep that takes longer is ignored; less than the time between beeps
SIDE = 512  # of a picture, in pixels

MEASURE = (Path(__file__).parent / "lip_sync.js").read_text()


@dataclass(frozen=True)
class LipSyncFound:
    """The result, in milliseconds."""

    errors: list[float]  # one per beep
    voice: float  # from beep made to beep heard, median, without `loop`
    picture: float  # from picture drawn to picture shown, median
    loop: float  # the page's own time to make and hear a beep, median
    told: dict[str, float] | None  # audio statistics of the server
    buffered: float  # in the browser's buffer for the voice, mean
    concealed: int  # samples that the browser had to invent


class LargeAnimator(FakeAnimator):
    """A fake animator whose pictures are as large as real ones."""

    def _draw(self, cue: Cue) -> Picture:
        picture = super()._draw(cue)
        return cv2.copyMakeBorder(picture, 0, SIDE - SIZE, 0, SIDE - SIZE, cv2.BORDER_REPLICATE)


def measure(
    playwright: Playwright, codec: str, work: float = 0.0, seconds: float = 8, warm_up: float = 8
) -> LipSyncFound:
    """Measure with an animator that takes `work` seconds per picture."""
    engine = make_engine()
    animator = LargeAnimator(lambda cue: threading.Event().wait(work) and None)
    engine = replace(engine, loaded=replace(engine.loaded, animator=animator))
    settings = Settings(port=0, media=LOOPBACK)
    app = create_app(settings, engine)
    with _served(app, settings) as url, chromium(playwright) as context:
        page = opened(context.pages[0], url)
        found = page.evaluate(MEASURE, {"codec": codec, "warmUp": warm_up, "seconds": seconds})
        [session] = app.state.sessions
        told = session.telemetry.stats()["audio"]
        page.click("#stop")
        wait_for(page, "idle")
        return analyse({**found, "told": told})


def analyse(found: dict[str, Any]) -> LipSyncFound:
    """Compute the errors from the times that the page noted."""
    pictures = _latencies(found["drawn"], found["shown"])
    loop = _median(took for _, took in _beeps(found["begun"], found["looped"]))
    voices = [(begun, took - loop) for begun, took in _beeps(found["begun"], found["heard"])]
    errors = []
    for begun, took in voices:
        about = [latency for drawn, latency in pictures if abs(drawn - begun) < ABOUT_MS]
        if about:
            errors.append(took - statistics.median(about))
    return LipSyncFound(
        errors,
        _median(took for _, took in voices),
        _median(latency for _, latency in pictures),
        loop,
        found["told"],
        found["buffered"],
        found["concealed"],
    )


def _median(values: Iterable[float]) -> float:
    return statistics.median(found) if (found := list(values)) else math.nan  # nothing came in time


def _beeps(begun: list[float], heard: list[float]) -> list[tuple[float, float]]:
    """Return (time made, ms until heard) of each beep."""
    after = ((time, bisect.bisect(heard, time)) for time in begun)
    beeps = ((time, heard[at] - time) for time, at in after if at < len(heard))
    return [(time, took) for time, took in beeps if took < LONGEST_MS]


def _latencies(drawn: list[tuple[int, float]], shown: list[tuple[int, float]]) -> list[tuple[float, float]]:
    """Return (time drawn, ms until shown) of each picture."""
    latencies = []
    latest: dict[int, float] = {}
    events = sorted(
        [(time, False, number) for number, time in drawn] + [(time, True, number) for number, time in shown]
    )
    for time, back, number in events:
        if not back:
            latest[number] = time
        elif number in latest:
            latencies.append((latest[number], time - latest.pop(number)))
    return latencies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12)
    seconds = parser.parse_args().seconds
    print("codec  work ms | error p50   p5  p95 | voice picture (loop) | buffer concealed | server says")
    with sync_playwright() as playwright:
        for codec in CODECS:
            for work in (0.01, 0.1):
                print(line(codec, work, measure(playwright, codec, work, seconds)), flush=True)


def line(codec: str, work: float, found: LipSyncFound) -> str:
    """Format a line of the table."""
    p5, *_, p95 = statistics.quantiles(found.errors, n=20)
    error = f"{statistics.median(found.errors):9.0f} {p5:4.0f} {p95:4.0f}"
    ways = f"{found.voice:5.0f} {found.picture:7.0f} {found.loop:6.0f}"
    return f"{codec:5} {work * 1000:8.0f} | {error} | {ways} | {found.buffered:6.0f} {found.concealed:9} | {found.told}"


if __name__ == "__main__":
    main()
