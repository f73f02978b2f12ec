"""Describe what a comparison was measured on."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from pipeline.bench.compare.inputs import Inputs
from pipeline.bench.compare.setup import Setup
from pipeline.bench.compare.turns import Effort
from pipeline.bench.host import machine

INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")  # for the networks


def about(inputs: Inputs, optimized: Setup, effort: Effort) -> dict[str, str]:
    """Return the machine and everything on it that affects the figures, by name."""
    device = inputs.device
    cpu = f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    return machine() | {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        "instructions": _instructions(),
        "driver": inputs.footage.about,
        "frames": f"{effort.frames} of each setup after a first one, in turns with {effort.together} other setups",
        "original": "plain eager FP32, frame by frame, source features for each frame, the whole video loaded first",
        "optimized": str(optimized),
    }


def _instructions() -> str:
    info = Path("/proc/cpuinfo")
    flags = set(re.findall(r"\w+", info.read_text())) if info.exists() else set()
    return " ".join(name for name in INSTRUCTIONS if name in flags) or "unknown"
