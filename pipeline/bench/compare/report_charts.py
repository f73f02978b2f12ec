"""Draw the charts of the HTML report: time per frame as bars, speed against quality as points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from pipeline.bench.compare.figures import Comparison
from pipeline.bench.compare.report_text import number

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 760, 400, 56, 24, 44
BAND = 30  # at the top, for equal pictures
HIGHEST = 60  # dB: better pictures are drawn here, because nobody sees the difference
LETTER, LINE = 6.4, 14  # rough size of the letters of a label in pixels


def bars(found: Comparison) -> Iterator[str]:
    """Draw the time per frame of each way as a bar; longer is slower."""
    time = found.headline[0]
    whole = [("original", time.original or 0, "before"), ("optimized", time.optimized or 0, "after")]
    alone = [(row.name, row.alone.ms_p50 or 0, "other") for row in found.ablation]
    shown = [bar for bar in (*whole, *sorted(alone, key=lambda bar: bar[1])) if bar[1]]
    longest = max((ms for _, ms, _ in shown), default=1)
    yield '<div class="bars" role="img" aria-label="Milliseconds per frame">'
    for name, ms, colour in shown:
        yield f'<div class="name">{escape(name)}</div><div class="track">'
        yield f'<div class="bar {colour}" style="width:{82 * ms / longest:.2f}%"></div>'
        yield f'<span class="value">{number(ms)} ms</span></div>'
    yield "</div>"


def scatter(found: Comparison) -> Iterator[str]:
    """Draw each optimization as a point: to the right is faster (logarithmic), higher is closer to the original."""
    points = [
        (row.name, row.alone.speedup, row.alone.psnr_db)
        for row in found.ablation
        if row.alone.speedup and row.alone.ssim is not None
    ]
    known = [min(psnr, HIGHEST) for _, _, psnr in points if psnr is not None]
    low = 5 * math.floor(min(known, default=HIGHEST - 5) / 5)
    high = max(low + 5, 5 * math.ceil(max(known, default=HIGHEST) / 5))
    speeds = [1.0, *(speed for _, speed, _ in points)]
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
    places = [(x(speed), y(psnr)) for _, speed, psnr in points]
    taken = [(across - 6, across + 6, down) for across, down in places]
    for name, speed, psnr in sorted(points, key=lambda point: -abs(math.log(point[1]))):
        at = x(speed), y(psnr)
        said = f"{name}: {speed:.2f}x, {number(psnr) if psnr else 'same picture'}"
        place = f'cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="5.5"'
        yield f'<circle class="other" {place}><title>{escape(said)}</title></circle>'
        yield from _label(name, *at, taken)
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
