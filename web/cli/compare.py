"""`run.py compare`: LivePortrait as published against our way of running it."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.bench.compare.compare import EFFORTS, QUICK, compare, requested_rows
from pipeline.bench.compare.inputs import prepare_inputs, sees_videos
from pipeline.bench.compare.optimizations import ROWS
from pipeline.bench.compare.report_html import page
from pipeline.bench.compare.report_text import table
from pipeline.bench.compare.setup import served
from pipeline.bench.host import result
from pipeline.load_liveportrait import chosen_device
from web.cli.console import bar, write_json
from web.cli.loading import fetched_face_models, use_one_thread
from web.core.settings import Settings


def run(parsed: argparse.Namespace) -> int:
    """Measure each row of the comparison, and print a table."""
    use_one_thread()
    device = chosen_device(parsed.device)
    rows = requested_rows(ROWS, device, parsed.only, parsed.quick)
    effort = (QUICK if parsed.quick else EFFORTS)[device.type]
    effort = dataclasses.replace(effort, frames=parsed.frames or effort.frames)
    optimized = served(device, Settings.backend, Settings.precision)
    models = fetched_face_models() if sees_videos() else None
    with TemporaryDirectory() as folder, bar("Comparing", "frame") as progress:
        files = parsed.source, parsed.driving
        inputs = prepare_inputs(device, models, files, parsed.weights, Path(folder))
        print(f"LivePortrait with {inputs.weights}, on {device.type}", file=sys.stderr)
        found = compare(inputs, optimized, rows, effort, parsed.line, progress)
    write_json(parsed.json, result(parsed.line, found.as_json()))
    if parsed.report:
        parsed.report.write_text(page(found))
    print(table(found))
    return 0
