"""Describe the machine, the software and the command that figures come from."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2

PACKAGES = ("numpy", "torch", "triton", "cuda-core", "ai-edge-litert", "av")
ROOT = Path(__file__).parents[2]


def result(command: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON content of a measurement: its command, date (UTC) and machine, then the figures."""
    date = datetime.now(UTC).isoformat(timespec="minutes")
    return {"command": command, "date": date, "machine": machine(), **figures}


def machine() -> dict[str, str]:
    """Return the machine, the software, and the commit if this is a git checkout."""
    facts = {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "software": f"Python {platform.python_version()}, OpenCV {cv2.__version__}, {', '.join(_versions())}",
    }
    found = _commit()
    return facts | {"commit": found} if found else facts


def peak_memory() -> float | None:
    """Return the most memory in MB that this process has used; None if the system does not report it."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _versions() -> Iterator[str]:
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"


def _commit() -> str | None:
    """Return the short hash of HEAD, with "-dirty" if files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def cpu_info(pattern: str) -> list[str]:
    """Return what matches `pattern` in Linux's description of the processors; nothing on other systems."""
    info = Path("/proc/cpuinfo")
    return re.findall(pattern, info.read_text(), re.MULTILINE) if info.exists() else []


def _processor() -> str:
    names = cpu_info(r"^model name\s*:\s*(.+)$")
    return names[0] if names else platform.processor() or platform.machine()
