"""`run.py latency`: glass-to-glass latency, stage by stage, with a real client."""

from __future__ import annotations

import argparse
import sys

from pipeline.bench.host import result
from realtime.bench.latency_report import page, table
from realtime.webrtc.impairment import Impairment
from realtime.webrtc.settings import MediaSettings
from web.cli.console import bar, check_folder, write_json
from web.cli.latency_clients import choose
from web.cli.latency_measure import Plan, driver_pictures, measure
from web.cli.loading import fetched_face_models, settings, use_one_thread
from web.services.engine import load_engine


def run(parsed: argparse.Namespace) -> int:
    """Serve a real client, measure, and print a table."""
    check_folder("--json", parsed.json)
    check_folder("--report", parsed.report)
    bad = Impairment(parsed.loss / 100, parsed.delay / 1000, parsed.jitter / 1000)
    client, reason = choose(parsed.client)
    print(f"Client: {client} ({reason}).", file=sys.stderr)
    sys.setswitchinterval(0.001)  # as serve does
    use_one_thread()
    fetched_face_models()
    server = settings(parsed, port=0, media=MediaSettings(strict=True, impairment=None if bad == Impairment() else bad))
    with bar("Warming up", "step") as progress:
        engine = load_engine(server, progress)
    plan = Plan(client, parsed.seconds, parsed.fps, "H264" if parsed.codec == "h264" else "VP8")
    with bar("Measuring", "s") as progress:
        measured = measure(plan, server, engine, driver_pictures(), progress)
    write_json(parsed.json, result(parsed.line, measured.figures))
    if parsed.report:
        parsed.report.write_text(page(measured))
    print(table(measured))
    return 0
