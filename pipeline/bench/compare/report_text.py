"""Write a comparison as text for the console."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.bench.compare.figures import NOT_USED, Comparison, Figures, Metric
from pipeline.bench.compare.optimizations import CLAIMS, ROWS
from pipeline.bench.tables import markdown_table

BY_NAME = {row.name: row for row in ROWS}
CLAIMED = {"processing time per frame, p50 (ms)": "ms", "frames per second": "fps", "peak memory, host (MB)": "memory"}


def table(found: Comparison) -> str:
    """Return the machine, the headline, every optimization and the notes."""
    return "\n".join([*_head(found), "", *_headline(found), "", *_ablation(found), "", *found.notes])


def _head(found: Comparison) -> Iterator[str]:
    yield f"LivePortrait with {found.weights}"
    yield from (f"{name}: {text}" for name, text in found.machine.items())
    yield f"command: {found.command}"


def _headline(found: Comparison) -> Iterator[str]:
    heads = ("", "original", "optimized", "improvement", "the original report claimed")
    rows = ([m.metric, number(m.original), number(m.optimized), gain(m), claim(m)] for m in found.headline)
    yield from markdown_table(heads, rows)


def _ablation(found: Comparison) -> Iterator[str]:
    heads = ("alone, on top of the original", "ms", "faster", "MB", "PSNR dB", "SSIM", "keypoints", "claimed")
    tail = ("without it: ms", "faster")
    rows = []
    for row in found.ablation:
        claimed = BY_NAME[row.name].claim if row.name in BY_NAME else ""
        if row.status == "unavailable":
            rows.append([row.name, *["-"] * 6, claimed, "-", "-"])
        else:
            rows.append([row.name, *cells(row.alone), claimed, number(row.without.ms_p50), times(row.without.speedup)])
    yield from markdown_table((*heads, *tail), rows)
    yield ""
    yield from (f"{row.name}: {row.reason}" for row in found.ablation if row.reason and row.reason != NOT_USED)


def cells(figures: Figures) -> list[str]:
    """Return milliseconds, speed, memory and quality as cells."""
    same = figures.ssim == 1 and figures.psnr_db is None
    quality = ["same" if same else number(figures.psnr_db), "-" if figures.ssim is None else f"{figures.ssim:.4f}"]
    error = "-" if figures.keypoint_error is None else f"{figures.keypoint_error:.1g}"
    return [number(figures.ms_p50), times(figures.speedup), number(figures.memory_mb), *quality, error]


def number(value: float | None) -> str:
    """Return a number with at least three digits."""
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def times(value: float | None) -> str:
    """Return how many times faster something is."""
    return "-" if value is None else f"{value:.2f}x"


def gain(metric: Metric) -> str:
    """Return the improvement in percent."""
    return "-" if metric.improvement is None else f"{metric.improvement:+.1f} %"


def claim(metric: Metric) -> str:
    """Return what the original report claimed, or nothing."""
    return CLAIMS[CLAIMED[metric.metric]] if metric.metric in CLAIMED else ""
