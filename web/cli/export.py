"""`run.py export`: LivePortrait's networks as ONNX files or TensorRT engines."""

from __future__ import annotations

import argparse

from pipeline.liveportrait.backends.export import export_onnx
from pipeline.liveportrait.backends.tensorrt import export_tensorrt
from pipeline.load_liveportrait import about_weights, best_device, load_liveportrait
from web.cli.console import bar

FORMATS = {"onnx": export_onnx, "tensorrt": export_tensorrt}


def run(parsed: argparse.Namespace) -> int:
    """Write a file for each network, and a manifest."""
    networks, device = load_liveportrait(parsed.weights), best_device()
    with bar("Exporting", "network") as progress:
        manifest = FORMATS[parsed.backend](networks, parsed.output, parsed.precision, device, progress)
    written = f"{parsed.output}: {len(manifest.networks)} networks for {device.type}, {manifest.precision}"
    print(f"{written}, and manifest.json ({about_weights(networks.digests)}).")
    return 0
