"""Draw the charts of the HTML report: time per frame as bars, speed against quality as points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from pipeline.bench.compare.report_text import number

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 760, 400, 56, 24, 44
BAND = 30  # at the top, for equal pictures
HIGHEST = 60  # dB: better pictures are drawn here, because nobody sees the difference
LETTER, LINE = 6.4, 14  # rough size of the letters of a label in pixels


@dataclass(frozen=True)
class Bar:
    """A bar: one way of running."""

    name: str
    ms: float
    kind: str  # "before", "after" or "other": a colour


@dataclass(frozen=True)
class Point:
    """A point: one way of running, and the quality of its picture."""

    name: str
    speedup: float  # over the original
    psnr_db: float | None  # None: equal pictures


def bars(shown: Sequence[Bar]) -> Iterator[str]:
    """Draw a bar for each way; longer is slower."""
    longest = max((bar.ms for bar in shown), default=1)
    yield '<div class="bars" role="img" aria-label="Milliseconds per frame">'
    for bar in shown:
        yield f'<div class="name">{escape(bar.name)}</div><div class="track">'
        yield f'<div class="bar {bar.kind}" style="width:{82 * bar.ms / longest:.2f}%"></div>'
        yield f'<span class="value">{number(bar.ms)} ms</span></div>'
    yield "</div>"


def scatter(points: Sequence[Point]) -> Iterator[str]:
    """Draw the points: to the right is faster (logarithmic), higher is closer to the original's picture."""
    known = [min(point.psnr_db, HIGHEST) for point in points if point.psnr_db is not None]
    low = 5 * math.floor(min(known, default=HIGHEST - 5) / 5)
    high = max(low + 5, 5 * math.ceil(max(known, default=HIGHEST) / 5))
    speeds = [1.0, *(point.speedup for point in points)]
    slowest, fastest = min(speeds) / 1.15, max(speeds) * 1.3

    def x(speed: float) -> float:
        return LEFT + (WIDTH - LEFT - 16) * math.log(speed / slowest) / math.log(fastest / slowest)

    def y(psnr: float | None) -> float:
        if psnr is None:
            return TOP + BAND / 2
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP - BAND) * (min(psnr, high) - low) / (high - low)

    yield f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Speed against quality">'
    for tick in (step for step in (0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32) if slowest <= step <= fastest):
        yield f'<path class="grid" d="M{x(tick):.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
        yield f'<text class="quiet" text-anchor="middle" x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 18}">{tick:g}x</text>'
    for tick in [None, *range(low, high + 1, 5 if high - low <= 30 else 10)]:
        label = "identical" if tick is None else f"{tick} dB" if tick < HIGHEST else f"{tick} dB +"
        yield f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{WIDTH - 16}"/>'
        yield f'<text class="quiet" text-anchor="end" x="{LEFT - 6}" y="{y(tick) + 4:.1f}">{label}</text>'
    yield f'<text class="quiet" text-anchor="end" x="{WIDTH - 16}" y="{HEIGHT - 8}">faster than the original</text>'
    places = [(x(point.speedup), y(point.psnr_db)) for point in points]
    taken = [(across - 6, across + 6, down) for across, down in places]
    for point in sorted(points, key=lambda point: -abs(math.log(point.speedup))):
        at = x(point.speedup), y(point.psnr_db)
        said = f"{point.name}: {point.speedup:.2f}x, {number(point.psnr_db) if point.psnr_db else 'same picture'}"
        place = f'cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="5.5"'
        yield f'<circle class="other" {place}><title>{escape(said)}</title></circle>'
        yield from _label(point.name, *at, taken)
    yield "</svg>"


def _label(name: str, x: float, y: float, taken: list[tuple[float, float, float]]) -> Iterator[str]:
    """Draw the name beside its point, unless another name is there."""
    wide = len(name) * LETTER
    for start, anchor in ((x + 8, "start"), (x - 8 - wide, "end")):
        free = all(abs(y - top) >= LINE or start + wide < left or start > right for left, right, top in taken)
        if free and start > LEFT and start + wide < WIDTH:
            taken.append((start, start + wide, y))
            side = start if anchor == "start" else start + wide
            yield f'<text text-anchor="{anchor}" x="{side:.1f}" y="{y + 4:.1f}">{escape(name)}</text>'
            return
