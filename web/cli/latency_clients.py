"""The client of a latency measurement: headless Chromium, or a Python process where there is none. And its CPU time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import psutil

from realtime.bench.glass_to_glass import LatencyError
from web.core.program import ROOT

ClientName = Literal["browser", "python"]

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing leaves this machine
)
STOP_SECONDS = 5.0


def find_browser() -> str | None:
    """Return the path of Chromium or a browser made of it; None if there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def choose(wanted: ClientName | None) -> tuple[ClientName, str]:
    """Return the client to measure with, and why it was chosen."""
    if wanted:
        return wanted, "you asked for it"
    if find_browser():
        return "browser", "there is a Chromium"
    return "python", "there is no Chromium"


class Client:
    """A running client."""

    def __init__(self, process: subprocess.Popen[bytes], complaints: Path) -> None:
        self._process = process
        self._complaints = complaints

    def check(self) -> None:
        """Raise LatencyError with its last line of output if it has ended."""
        if self._process.poll() is not None:
            words = self._complaints.read_text(errors="replace").strip().rpartition("\n")[2]
            raise LatencyError(
                f"The client ended early (exit code {self._process.returncode}): {words or 'it printed nothing'}"
            )

    def cpu_seconds(self) -> float:
        """Return the CPU time in seconds that it and its children used so far."""
        return cpu_seconds(self._process.pid)


@contextmanager
def client(name: ClientName, url: str) -> Iterator[Client]:
    """Run a client that measures at this URL. Raise LatencyError if it is a browser and there is none."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        complaints = Path(folder) / "complaints"
        python = [sys.executable, "-m", "realtime.bench.latency_client", url]
        command = _browser(url, Path(folder) / "profile") if name == "browser" else python
        with complaints.open("wb") as file:
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=file)
        try:
            yield Client(process, complaints)
        finally:
            _stop(process)


def _browser(url: str, profile: Path) -> list[str]:
    browser = find_browser()
    if browser is None:
        raise LatencyError(
            "There is no Chromium here; install it (on Debian: `apt-get install chromium`), or use --client python."
        )
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [browser, *FLAGS, *as_root, f"--user-data-dir={profile}", f"{url}/client/latency/latency.html"]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_seconds(root: int) -> float:
    """Return the CPU time in seconds of the process `root` and of its living descendants; 0 if it has ended."""
    used = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(root)
        for member in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                used += sum(member.cpu_times()[:2])  # user, system
    return used


def resident_megabytes() -> float:
    """Return the resident memory of this process in MB."""
    return float(round(psutil.Process().memory_info().rss / 1e6, 1))
