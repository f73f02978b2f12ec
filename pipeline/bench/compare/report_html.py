"""Write a comparison as one self-contained HTML page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from pipeline.bench.compare.figures import Ablation, Comparison, Figures
from pipeline.bench.compare.optimizations import Optimization
from pipeline.bench.compare.report_charts import bars, scatter
from pipeline.bench.compare.report_text import BY_NAME, cells, claim, gain, number, times
from pipeline.core.animator import Picture

STYLE = Path(__file__).with_name("report.css")
TITLE = "Original against optimized"
WHOLE = ("", "original", "optimized", "improvement", "the original report claimed")
HEADS = ("ms", "faster", "MB", "PSNR dB", "SSIM", "keypoint error")
LESS = HEADS[:4]  # for the optimized settings without it
TIMES = "Milliseconds, median. Below the optimized: each optimization alone, on top of the original."
TRADE = "Each optimization alone: how much faster it is, and how close its pictures are to the original's."
ABLATION = (
    'Alone: on top of the original, against which "faster" counts. Without it: the optimized settings less this one, '
    "against the optimized ones; below 1x means that it helps there. Quality is against the original's pictures."
)
METHOD = (
    "The original and what is compared with it draw their frames in turns, so that changes of the machine's speed "
    "affect both. Loading, compiling and a first frame are not included. A frame is everything from the video file to "
    "the written picture. Memory is the most that a setup used while it drew, above what the process used before. "
    "<code>--only NAME</code> measures a row again by itself."
)
DIFFERENCE_GAIN = 8
SAMPLES = 3
SAME = 0.03  # a share of the time that counts as no difference


def page(found: Comparison) -> str:
    """Return the HTML, which loads nothing from elsewhere."""
    parts = (_top, _headline, _bars, _scatter, _table, _samples, _paragraphs, _method)
    body = "\n".join(line for part in parts for line in part(found))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>'
        f"{TITLE}</title>\n<style>\n{STYLE.read_text()}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _section(title: str, note: str = "") -> str:
    return f"<h2>{title}</h2>" + (f'<p class="quiet">{note}</p>' if note else "")


def _top(found: Comparison) -> Iterator[str]:
    yield "<h1>LivePortrait, original against optimized</h1>"
    yield f"<p>Measured on {escape(found.machine.get('device', ''))}, with {escape(found.weights)}.</p>"
    yield '<div class="cards">'
    for metric in found.headline:
        if metric.improvement is not None and "p95" not in metric.metric:
            worse = " worse" if metric.improvement < 0 else ""
            yield f'<div class="card{worse}"><span class="quiet">{escape(metric.metric)}</span><b>{gain(metric)}</b>'
            yield f'<span class="quiet">{number(metric.original)} to {number(metric.optimized)}</span></div>'
    yield "</div>"


def _headline(found: Comparison) -> Iterator[str]:
    original, optimized = (escape(found.machine.get(name, "")) for name in ("original", "optimized"))
    yield _section("The whole", f"Original: {original}.<br>Optimized: {optimized}.")
    yield f'<div class="wide"><table><thead><tr>{_heads(WHOLE)}</tr></thead><tbody>'
    for metric in found.headline:
        yield f"<tr><td>{escape(metric.metric)}</td>"
        yield f"<td>{number(metric.original)}</td><td>{number(metric.optimized)}</td>"
        kind = "" if not metric.improvement else "faster" if metric.improvement > 0 else "slower"
        yield f'<td class="{kind}">{gain(metric)}</td><td class="claim">{escape(claim(metric))}</td></tr>'
    yield "</tbody></table></div>"


def _bars(found: Comparison) -> Iterator[str]:
    yield _section("Time per frame", TIMES)
    yield from bars(found)


def _scatter(found: Comparison) -> Iterator[str]:
    yield _section("Speed against quality", TRADE)
    yield '<div class="wide">'
    yield from scatter(found)
    yield "</div>"


def _table(found: Comparison) -> Iterator[str]:
    yield _section("Each optimization", ABLATION)
    yield '<div class="wide"><table><thead>'
    yield '<tr><th></th><th colspan="6">alone</th><th colspan="4">without it</th><th></th></tr>'
    yield f"<tr>{_heads(('', *HEADS, *LESS, WHOLE[-1]))}</tr></thead><tbody>"
    for row in found.ablation:
        yield f'<tr><td><a href="#{escape(row.name)}">{escape(row.name)}</a></td>'
        if row.status == "unavailable":
            yield f'<td class="why" colspan="10">{escape(row.reason or "")}</td>'
        else:
            yield _figures(row.alone, len(HEADS)) + _figures(row.without, len(LESS))
        yield f'<td class="claim">{escape(BY_NAME[row.name].claim if row.name in BY_NAME else "")}</td></tr>'
    yield "</tbody></table></div>"


def _figures(figures: Figures, count: int) -> str:
    speed = figures.speedup or 1
    kind = "faster" if speed > 1 + SAME else "slower" if speed < 1 - SAME else ""
    first, second, *others = cells(figures)[:count]
    return f'<td>{first}</td><td class="{kind}">{second}</td>' + "".join(f"<td>{text}</td>" for text in others)


def _samples(found: Comparison) -> Iterator[str]:
    if not found.samples:
        return
    yield _section("Pictures", f"The drawn crop, and the difference {DIFFERENCE_GAIN} times as strong.")
    for original, optimized in found.samples[:SAMPLES]:
        difference = (np.abs(original.astype(np.int16) - optimized) * DIFFERENCE_GAIN).clip(0, 255).astype(np.uint8)
        pictures = {"original": original, "optimized": optimized, "difference": difference}
        yield '<div class="frames">'
        for name, picture in pictures.items():
            yield f'<div><img alt="{name}" src="{_embedded(picture)}"><span>{name}</span></div>'
        yield "</div>"


def _embedded(picture: Picture) -> str:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def _paragraphs(found: Comparison) -> Iterator[str]:
    yield _section("What each optimization does, and what it gains here")
    for row in found.ablation:
        about = BY_NAME.get(row.name) or Optimization(row.name, row.name, "")
        yield f'<article id="{escape(row.name)}"><h3>{escape(about.title)}</h3>'
        yield f"<p>{escape(about.about)}</p>"
        yield f'<p class="here">{escape(" ".join(here(row)))}</p></article>'


def here(row: Ablation) -> Iterator[str]:
    """Yield what was measured of a row, in sentences."""
    if row.status == "unavailable":
        yield f"Not measured here. {row.reason}"
        return
    alone, without = row.alone, row.without
    if alone.ms_p50 and alone.speedup:
        yield f"Here: {_compared(alone.speedup)}, {number(alone.ms_p50)} ms a frame"
        yield f"and {number(alone.memory_mb)} MB; {_fidelity(alone)}."
    if without.speedup:
        missed = f"Without it the optimized settings are {_compared(without.speedup)}"
        yield f"{missed} ({number(without.ms_p50)} ms)."
    if row.reason:
        yield row.reason


def _compared(speedup: float) -> str:
    if abs(speedup - 1) <= SAME:
        return "just as fast, within the noise"
    return f"{times(speedup)} as fast" if speedup > 1 else f"slower, {times(speedup)} as fast"


def _fidelity(figures: Figures) -> str:
    if figures.psnr_db is None:
        return "the pictures are equal"
    return f"{figures.psnr_db:.1f} dB and an SSIM of {figures.ssim:.4f} against the original's picture"


def _method(found: Comparison) -> Iterator[str]:
    yield f"{_section('Method')}<p>{METHOD}</p><dl>"
    for name, text in (*found.machine.items(), ("command", found.command)):
        yield f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
    yield "</dl>"
    yield from (f'<p class="quiet">{escape(note)}</p>' for note in found.notes)


def _heads(names: Sequence[str]) -> str:
    return "".join(f"<th>{escape(name)}</th>" for name in names)
