"""Write BENCHMARKS.md, and the figures in README.md, from benchmarks/: `python -m tests.tools.benchmarks_page`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.bench.compare.figures import Figures, Metric
from pipeline.bench.compare.report_text import cells, gain, number, times
from pipeline.bench.host import ROOT
from pipeline.bench.network_costs import PrecisionError
from pipeline.bench.tables import markdown_table, percentile_cells

RESULTS, PAGE, README = ROOT / "benchmarks", ROOT / "BENCHMARKS.md", ROOT / "README.md"
FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)  # in README.md
INTRODUCTION = """# Benchmarks

Made by `python -m tests.tools.benchmarks_page` from `benchmarks/*.json`; `bash benchmarks/measure.sh` measures again.
Compare figures of one table only: the speed of a shared machine changes within minutes. LivePortrait runs with
random stand-in weights, which take as much time as the official ones. `docs/measuring.md` defines the columns."""
NO_GPU = """
## NVIDIA GPU

Not run on a GPU. `OUT=FOLDER bash tests/gpu.sh` measures one."""

Result = Mapping[str, Any]
"""The JSON content that a measuring command wrote (see `host.result`)."""


@dataclass(frozen=True)
class Section:
    """A table with the rows of every result that has `key`."""

    title: str
    key: str
    heads: str  # of the columns, between " | "
    rows: Callable[[Result], Iterable[list[str]]]

    def lines(self, results: Iterable[Result]) -> list[str]:
        """Return the section as Markdown; nothing if no result belongs in it."""
        rows = [row for found in results if self.key in found for row in self.rows(found)]
        return ["", f"## {self.title}", "", *markdown_table(self.heads.split(" | "), rows)] if rows else []


def page(results: Mapping[str, Result]) -> str:
    """Return the page for results by name."""
    lines = [INTRODUCTION, *(line for section in SECTIONS for line in section.lines(results.values()))]
    if all(_device(found).startswith("CPU") for found in results.values()):
        lines.append(NO_GPU)
    return "\n".join([*lines, *_sources(results)]) + "\n"


def _sources(results: Mapping[str, Result]) -> Iterator[str]:
    heads = ("`benchmarks/`", "date (UTC)", "commit", "command")
    rows = ([n, r["date"], r["machine"].get("commit", "-"), f"`{r['command']}`"] for n, r in results.items())
    yield from ("", "## Where the figures come from", "", *markdown_table(heads, rows))
    for machine in dict.fromkeys((r["machine"]["machine"], r["machine"]["software"]) for r in results.values()):
        yield from ("", f"{'; '.join(machine)}.")


def _device(found: Result) -> str:
    return str(found["machine"].get("device", "CPU"))


def _stages(found: Result) -> Iterator[list[str]]:
    for stage, ranks in found["stages_ms"].items():
        yield [stage, *percentile_cells(ranks)]


def _quality(found: Result) -> Iterator[list[str]]:
    for row in found["rows"]:
        quality = row["quality"]
        errors = [f"{quality['errors'][group]:.2f}" for group in ("lips", "eyes", "brows", "oval", "iris")]
        correlations = [f"{quality['correlations'][name]:.2f}" for name in ("gap", "eye", "gaze x")]
        pose = "/".join(f"{angle:.1f}" for angle in quality["pose_error"])
        yield [row["source"], row["driving"], str(quality["frames"]), *errors, *correlations, pose]


def _latency(found: Result) -> Iterator[list[str]]:
    settings, server, frames = found["settings"], found["server_ms"], found["frames"]
    network = f"{settings['loss_percent']:g} % lost, {settings['delay_ms']:g} ms" if settings["loss_percent"] else "-"
    total = " / ".join(f"{found['glass_to_glass_ms'][rank]:.0f}" for rank in ("p50", "p95", "p99"))
    seen = f"{frames['seen']} of {frames['sent']}"
    gap, first = f"{found['longest_gap_ms']:.0f}", str(found["first_picture_ms"])
    yield [settings["codec"], network, total, f"{server['p50']:.1f} / {server['p95']:.1f}", seen, gap, first]


def _stock(found: Result) -> Iterator[list[str]]:
    for row in found["stock"]:
        total = [f"{row[rank]:.0f}" for rank in ("p50", "p95", "p99")]
        yield [row["codec"], row["server"], *total, f"{row['fps']:.1f}", f"{row['cores']:.2f}"]


def _networks(found: Result) -> Iterator[list[str]]:
    for way in found["networks"]:
        if way["reason"]:
            yield [_device(found), way["name"], f"not available: {way['reason']}", "-", "-", "-"]
            continue
        speedup = way["ms"]["frame"]["p50"] / found["networks"][-1]["ms"]["frame"]["p50"]
        quality = "reference" if way["psnr_db"] is None else f"{way['psnr_db']:.1f}"
        p50, p95, _ = percentile_cells(way["ms"]["frame"])
        yield [_device(found), way["name"], p50, p95, f"{speedup:.2f}x", quality]


def _device_stages(found: Result) -> Iterator[list[str]]:
    yield from ([_device(found), *row] for row in _stages(found))


def _sessions(found: Result) -> Iterator[list[str]]:
    for row in found["sessions"]:
        yield [_device(found), str(row["sessions"]), f"{row['fps']:.3g}", *percentile_cells(row["latency_ms"])]


def _costs(found: Result) -> Iterator[list[str]]:
    for cost in found["costs"]:
        size = f"{cost['parameters']:,}"
        yield [cost["network"], cost["dtype"], size, f"{cost['seconds']:.3f}", number(cost["peak_mb"])]


def _errors(found: Result) -> Iterator[list[str]]:
    for dtype, errors in found["errors"].items():
        yield from ([dtype, *PrecisionError(**error).cells()] for error in errors)


def _headline(found: Result) -> Iterator[list[str]]:
    for metric in (Metric(**each) for each in found["headline"]):
        yield [metric.metric, number(metric.original), number(metric.optimized), gain(metric)]


def _ablation(found: Result) -> Iterator[list[str]]:
    for row in found["ablation"]:
        if row["status"] == "measured":
            *alone, _ = cells(Figures(**row["alone"]))
            yield [row["name"], *alone, times(row["without"]["speedup"])]


SECTIONS = (
    Section("Mesh-warp: time of a frame, one thread", "rows", "stage | p50 ms | p95 ms | p99 ms", _stages),
    Section(
        "Mesh-warp: how well the result follows the driver",
        "rows",
        "source | driving | frames | lips | eyes | brows | oval | iris | r lip gap | r eyes | r gaze | pose error °",
        _quality,
    ),
    Section(
        "Glass to glass: mesh-warp, server and Chromium on the same machine",
        "glass_to_glass_ms",
        "codec | network | p50 / p95 / p99 ms | server p50 / p95 ms | frames seen | longest gap ms | first picture ms",
        _latency,
    ),
    Section(
        "Glass to glass: aiortc's own example beside this project, in turns",
        "stock",
        "codec | server | p50 ms | p95 ms | p99 ms | fps | cores used",
        _stock,
    ),
    Section(
        "LivePortrait: the networks of a frame, in turns",
        "networks",
        "device | way | p50 ms | p95 ms | speedup of the last way | PSNR dB",
        _networks,
    ),
    Section(
        "LivePortrait: from the camera's picture to the animated one",
        "networks",
        "device | stage | p50 ms | p95 ms | p99 ms",
        _device_stages,
    ),
    Section(
        "LivePortrait: sessions at once",
        "sessions",
        "device | sessions | frames/s | p50 ms | p95 ms | p99 ms",
        _sessions,
    ),
    Section("LivePortrait: each network", "costs", "network | type | parameters | s | peak MB", _costs),
    Section(
        "LivePortrait: 16 bits against float32", "errors", "type | result | largest | mean | of | PSNR dB", _errors
    ),
    Section(
        "LivePortrait: original against optimized",
        "headline",
        "metric | original | optimized | improvement",
        _headline,
    ),
    Section(
        "LivePortrait: each optimization alone",
        "ablation",
        "name | ms | faster | MB | PSNR dB | SSIM | optimized without it",
        _ablation,
    ),
)


def read_results() -> dict[str, Result]:
    """Return the committed results by file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


def readme(text: str, results: Mapping[str, Result]) -> str:
    """Return README.md with the figures of these results."""
    rows = [[what, f"{ranks['p50']:.0f}", f"{ranks['p95']:.0f}"] for what, ranks in _highlights(results)]
    table = markdown_table(("measured without a GPU", "p50 ms", "p95 ms"), rows) if rows else []
    return FIGURES.sub(lambda _: "".join(f"{line}\n" for line in table), text)


def _highlights(results: Mapping[str, Result]) -> Iterator[tuple[str, Mapping[str, float]]]:
    if found := results.get("meshwarp.json"):
        yield "mesh-warp, a frame (track, motion, animate), one thread", found["stages_ms"]["total"]
    if (found := results.get("device_cpu.json")) and found["networks"]:
        yield "LivePortrait, the networks of a frame, plain float32", found["networks"][0]["ms"]["frame"]
        yield "LivePortrait, the networks of a frame, as served", found["networks"][-1]["ms"]["frame"]
    for name in ("latency_h264.json", "latency_vp8.json"):
        if found := results.get(name):
            codec = found["settings"]["codec"]
            yield f"glass to glass in Chromium on the same machine, {codec}", found["glass_to_glass_ms"]


if __name__ == "__main__":
    PAGE.write_text(page(read_results()))
    README.write_text(readme(README.read_text(), read_results()))
