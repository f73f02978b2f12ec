"""How much memory this process holds, and held at most; and on Linux, keeping what was allocated."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # of the resident set (man 5 proc)
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # parameters of mallopt (man 3 mallopt)
USUAL = ((MMAP_MAX, 65536), (MMAP_THRESHOLD, 32 << 20), (TRIM_THRESHOLD, 64 << 20))
"""Where glibc's limits stand after it has seen large tensors come and go; they no longer move once one was set."""


def held(device: torch.device) -> float | None:
    """Bytes in use: PyTorch's on a CUDA device, or the resident set; None where the system does not tell."""
    return float(torch.cuda.memory_allocated(device)) if device.type == "cuda" else _status("VmRSS")


def peak(device: torch.device) -> float | None:
    """The most that was in use since `restart_peak`."""
    return float(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else _status("VmHWM")


def restart_peak(device: torch.device) -> float | None:
    """What is in use now, from which the peak is counted."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return held(device)
    trim()
    try:
        CLEAR.write_text(RESET_PEAK)
    except OSError:  # not Linux
        return None
    return held(device)


def trim() -> None:
    """Give back to the system what was freed: else it hides what is needed next."""
    with suppress(OSError, AttributeError, TypeError):  # not Linux with glibc
        ctypes.CDLL(None).malloc_trim(0)


def steady() -> None:
    """glibc's limits as after long use, at once and for good: else they move while the first frames are drawn."""
    _adjust(*USUAL)


@contextmanager
def keeping_memory() -> Iterator[None]:
    """glibc keeps what is freed, so the next frame finds its pages there, and the system need not clear new ones."""
    _adjust((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1))
    try:
        yield
    finally:
        steady()
        trim()


def _adjust(*limits: tuple[int, int]) -> None:
    with suppress(OSError, AttributeError, TypeError):
        for parameter, value in limits:
            ctypes.CDLL(None).mallopt(parameter, value)


def _status(name: str) -> float | None:
    if not STATUS.exists():
        return None
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024.0
