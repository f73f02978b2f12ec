"""Write a latency measurement as a table for the console, and as one self-contained HTML page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from realtime.bench.glass_to_glass import Measurement

STYLE = Path(__file__).with_suffix(".css")
PERCENTILES = ("p50", "p95", "p99", "max")
WHOLES = {"server": "server_ms", "glass to glass": "glass_to_glass_ms", "age on screen": "frame_age_ms"}
WIDTH = 960  # of the drawings
BAR_HEIGHT = 34
GRAPH_HEIGHT = 260
MARGIN = 60  # left of and below the graph, for its labels
COLOURS = (
    *("#4e79a7", "#76a5cf", "#f28e2b", "#d9a066", "#59a14f", "#8cd17d"),
    *("#b6992d", "#e15759", "#9c6fa8", "#d4a6c8", "#6a9fb0", "#9a9a9a"),
)
METHOD = (
    "Each picture of the camera carries a number in black and white cells at its top, with a checksum. The animator "
    "copies the number of the driving frame that it used into its picture. Glass to glass is from just before the "
    "camera's picture was drawn until the picture with its number was presented, both on the client's clock. The "
    "camera's exposure and the monitor's refresh are not included.",
    "Camera+encode ends when the frame's first packet leaves (RTP extension abs-send-time), uplink when the frame is "
    "complete and in order at the server. Decode is from there to an RGB picture, without the wait for the session's "
    "thread, which stamps track, motion, animate and encode. Downlink is from the finished packet to the last "
    "packet's arrival at the client. A browser's jitter buffer is its own count (getStats, means over 0.1 s); "
    "decode+present is its decoder's time (requestVideoFrameCallback) and the time from there to the page's callback. "
    "Unexplained is the rest of glass to glass.",
    "Lost frames came back with a damaged code, dropped frames were never seen. The age on screen is the age of the "
    "newest picture, sampled every 5 ms. A freeze is a picture that stays for more than three frame intervals. "
    "The slope is a least-squares fit to the means of whole seconds, with its standard error.",
)


def table(measured: Measurement) -> str:
    """Return the table for the console."""
    figures = measured.figures
    lines = [f"{'ms':16}" + "".join(f"{rank:>8}" for rank in PERCENTILES)]
    wholes = {label: figures[key] for label, key in WHOLES.items()}
    for name, ranks in {**figures["stages_ms"], "unexplained": figures["unexplained_ms"], **wholes}.items():
        lines.append(f"{name:16}" + "".join(f"{_ms(ranks[rank]):>8}" for rank in PERCENTILES))
    slope, error = figures["slope_ms_per_minute"], figures["slope_error"]
    clocks = f"clocks compared to ±{figures['clock_error_ms']:.2f} ms"
    lines.append(f"drift: {slope:+.2f} ± {error:.2f} ms a minute; {clocks}")
    lines += [f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in _frames(figures)]
    return "\n".join([*lines, f"settings: {_plain(figures['settings'])}"])


def page(measured: Measurement) -> str:
    """Return the whole HTML page."""
    figures = measured.figures
    settings = figures["settings"]
    glass = figures["glass_to_glass_ms"]
    title = f"Glass to glass: {_ms(glass['p50'])} ms"
    about = f"{settings['animator']} at {settings['size']}, {settings['codec']}, {settings['client_version']}"
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            '<meta name="viewport" content="width=device-width">',
            f"<style>\n{STYLE.read_text()}</style></head>",
            f"<body><h1>{title} <small>p50</small></h1><p>{html.escape(about)}</p>",
            _tiles(figures),
            "<h2>Where the time goes, on average</h2>",
            _bar(measured.means),
            f'<div class="wide">{_stage_table(figures, measured.means)}</div>',
            "<h2>Latency over time</h2>",
            _graph(measured.latencies, figures),
            "<h2>Frames</h2>",
            _rows(_frames(figures)),
            "<h2>Settings</h2>",
            _rows(settings.items()),
            "<h2>Method</h2>",
            *(f"<p>{html.escape(paragraph)}</p>" for paragraph in (*METHOD, figures["clock_method"])),
            "</body></html>",
        ]
    )


def _tiles(figures: Mapping[str, Any]) -> str:
    glass = figures["glass_to_glass_ms"]
    tiles = {f"{rank}, ms": _ms(glass[rank]) for rank in PERCENTILES}
    tiles |= {"server p50, ms": _ms(figures["server_ms"]["p50"]), "frames a second": figures["fps"]}
    tiles["drift, ms a minute"] = f"{figures['slope_ms_per_minute']:+.2f} ± {figures['slope_error']:.2f}"
    shown = (f"<div><b>{value}</b>{name}</div>" for name, value in tiles.items())
    return f'<div class="tiles">{"".join(shown)}</div>'


def _bar(means: Mapping[str, float]) -> str:
    shown = {name: max(0.0, mean) for name, mean in means.items()}
    scale, x = WIDTH / (sum(shown.values()) or 1), 0.0
    parts = []
    for (name, mean), colour in zip(shown.items(), COLOURS, strict=True):
        width = mean * scale
        tip = f"<title>{name}: {mean:.2f} ms</title>"
        parts.append(f'<rect x="{x:.1f}" width="{width:.1f}" height="{BAR_HEIGHT}" fill="{colour}">{tip}</rect>')
        if width > 8 * len(name):
            parts.append(f'<text x="{x + 4:.1f}" y="{BAR_HEIGHT * 0.64:.0f}" style="fill:#fff">{name}</text>')
        x += width
    return _svg(BAR_HEIGHT, parts)


def _stage_table(figures: Mapping[str, Any], means: Mapping[str, float]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("stage, ms", "mean", *PERCENTILES))
    rows = [f"<table><tr>{head}</tr>"]
    samples = {**figures["stages_ms"], "unexplained": figures["unexplained_ms"]}
    for (name, ranks), colour in zip(samples.items(), COLOURS, strict=True):
        cells = "".join(f"<td>{_ms(ranks[rank])}</td>" for rank in PERCENTILES)
        rows.append(f'<tr><td><i style="background:{colour}"></i>{name}</td><td>{means[name]:.2f}</td>{cells}</tr>')
    for label, key in WHOLES.items():
        cells = "".join(f"<td>{_ms(figures[key][rank])}</td>" for rank in PERCENTILES)
        rows.append(f"<tr><td>{label}</td><td></td>{cells}</tr>")
    return "".join([*rows, "</table>"])


def _graph(latencies: Sequence[tuple[float, float]], figures: Mapping[str, Any]) -> str:
    """Draw a dot for each frame, and the fitted line."""
    span = max(time for time, _ in latencies) or 1.0
    top = _ceiling(max(latency for _, latency in latencies))

    def place(time: float, latency: float) -> tuple[float, float]:
        return MARGIN + time / span * (WIDTH - MARGIN), (1 - latency / top) * (GRAPH_HEIGHT - MARGIN / 2)

    parts = []
    for share, anchor in ((0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1, "end")):
        x, y = place(share * span, share * top)
        parts.append(f'<line x1="{MARGIN}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--faint)"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{share * top:g} ms</text>')
        place_of_label = f'x="{x:.0f}" y="{GRAPH_HEIGHT - 4}" text-anchor="{anchor}"'
        parts.append(f"<text {place_of_label}>{share * span:.1f} s</text>")
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in (place(*point) for point in latencies))
    parts.append(f'<path d="{dots}" stroke="var(--dot)" stroke-width="3" stroke-linecap="round" opacity="0.6"/>')
    middle = sum(latency for _, latency in latencies) / len(latencies)
    rise = figures["slope_ms_per_minute"] / 60 * span / 2
    (x1, y1), (x2, y2) = place(0, middle - rise), place(span, middle + rise)
    parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e15759" stroke-width="1.5"/>')
    return _svg(GRAPH_HEIGHT, parts)


def _ceiling(value: float) -> float:
    """Return the next of 1, 1.5, 2, 3, 4, 6, 8 or 10 times a power of ten."""
    power = 1.0
    while power * 10 < value:
        power *= 10
    return next(power * step for step in (1, 1.5, 2, 3, 4, 6, 8, 10) if power * step >= value)


def _svg(height: int, parts: Iterable[str]) -> str:
    return f'<svg viewBox="0 -10 {WIDTH} {height + 14}" role="img">{"".join(parts)}</svg>'


def _frames(figures: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    flow = ("fps", "frames", "drops", "freezes", "longest_gap_ms", "first_picture_ms")
    return ((key, figures[key]) for key in (*flow, "bitrate_mbps", "cpu_cores", "server_memory_mb"))


def _rows(rows: Iterable[tuple[str, Any]]) -> str:
    cells = (f"<tr><td>{html.escape(name.replace('_', ' '))}</td><td>{_plain(value)}</td></tr>" for name, value in rows)
    return "<table>" + "".join(cells) + "</table>"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{html.escape(str(name))} {_plain(part)}" for name, part in value.items())
    if isinstance(value, list):
        return " x ".join(map(_plain, value))
    return "unknown" if value is None else html.escape(f"{value:g}" if isinstance(value, float) else str(value))


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
