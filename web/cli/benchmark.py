"""`run.py benchmark`: the speed and quality of an animator, of a device or of the networks, on this machine."""

from __future__ import annotations

import argparse
import dataclasses

from pipeline.bench.host import result
from web.cli.console import bar, write_json
from web.cli.loading import fetched_face_models, load, use_one_thread


def run(parsed: argparse.Namespace) -> int:
    """Measure, and print a table."""
    if parsed.precision_table:
        return _networks(parsed)
    if parsed.device:
        return _device(parsed)
    from pipeline.bench.animator import benchmark  # needs packages that a GPU machine may lack

    use_one_thread()
    models, loaded = load(parsed)
    with bar("Measuring", "frame") as progress:
        found = benchmark(loaded.animator, models, parsed.source, parsed.driving, progress)
    write_json(parsed.json, result(parsed.line, dataclasses.asdict(found)))
    print(found.table())
    return 0


def _device(parsed: argparse.Namespace) -> int:
    from realtime.bench.device import candidate, effort, measure

    use_one_thread()
    chosen = candidate(parsed.device, parsed.backend, parsed.precision, parsed.weights)
    wanted, report = effort(chosen.device, parsed.frames), None
    try:
        with bar("Warming up", "step") as warming, bar("Measuring", "round") as progress:
            for report in measure(chosen, wanted, warming, progress):
                write_json(parsed.json, result(parsed.line, dataclasses.asdict(report)))
    finally:
        if report:
            print(report.table())
    return 0


def _networks(parsed: argparse.Namespace) -> int:
    from pipeline.bench.network_costs import measure
    from pipeline.imaging.source_picture import default_portrait, read_picture
    from pipeline.load_liveportrait import about_weights, best_device, load_liveportrait

    networks, device = load_liveportrait(parsed.weights), best_device()
    portrait = read_picture(default_portrait())
    found = measure(networks.to(device), portrait, fetched_face_models(), device, about_weights(networks.digests))
    write_json(parsed.json, result(parsed.line, dataclasses.asdict(found)))
    print(found.table())
    return 0
