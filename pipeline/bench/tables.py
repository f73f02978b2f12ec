"""Tables for reports, as Markdown that is aligned for the console."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, each column padded to one width."""
    lines = [list(heads), *map(list, rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return [f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines]


def stage_table(stages: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the lines of a table with a row for each stage: its name, p50, p95 and p99 in ms."""
    rows = ([name, *percentile_cells(times)] for name, times in stages.items())
    return markdown_table(("stage", "p50 ms", "p95 ms", "p99 ms"), rows)


def percentile_cells(times: Mapping[str, float]) -> list[str]:
    """Return p50, p95 and p99 with two digits after the point."""
    return [f"{times[name]:.2f}" for name in ("p50", "p95", "p99")]
