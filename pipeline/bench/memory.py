"""Measure the memory of this process, and on Linux keep what was allocated."""

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
"""The limits that glibc reaches by itself after large tensors were allocated and freed; setting one stops that."""


def held(device: torch.device) -> float | None:
    """Return the bytes in use by PyTorch on CUDA, else the resident set; None if the system does not report it."""
    return float(torch.cuda.memory_allocated(device)) if device.type == "cuda" else _status("VmRSS")


def peak(device: torch.device) -> float | None:
    """Return the most bytes in use since `restart_peak`."""
    return float(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else _status("VmHWM")


def restart_peak(device: torch.device) -> float | None:
    """Start counting the peak anew, and return the bytes in use now."""
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
    """Give freed memory back to the system, so that it is not counted as in use."""
    with suppress(OSError, AttributeError, TypeError):  # not Linux with glibc
        ctypes.CDLL(None).malloc_trim(0)


def steady() -> None:
    """Set glibc's limits to where long use moves them, so that they do not move while the first frames are drawn."""
    _adjust(*USUAL)


@contextmanager
def keeping_memory() -> Iterator[None]:
    """Let glibc keep what is freed, so that the system need not clear new pages for the next frame."""
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
