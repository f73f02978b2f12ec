"""Download one file with pip, which knows the user's proxies, mirrors and certificates."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.models.store import DownloadProgress


class DownloadError(RuntimeError):
    """pip could not download; the message is the last thing it printed."""


def pip_download(arguments: Sequence[str], folder: Path, size: int, progress: DownloadProgress | None = None) -> None:
    """Run `pip download` with `arguments`, leaving the file of `size` bytes in `folder`. Raise DownloadError.

    After a broken connection pip 25.1 and later resume the download; older versions start again.
    """
    command = [sys.executable, "-m", "pip", "download", *arguments, "-d", str(folder)]
    # pip downloads into TMPDIR, where _watch sees the file grow. Versions before 25.1 ignore the retries.
    environment = {**os.environ, "TMPDIR": str(folder), "PIP_RESUME_RETRIES": "10", "PIP_NO_INPUT": "1"}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment) as process,
    ):
        try:
            _watch(process, folder, size, progress or (lambda done, total: None))
        finally:
            process.kill()
        if process.returncode:
            log.seek(0)
            raise DownloadError(complaint(log.read().decode(errors="replace")))


def _watch(process: subprocess.Popen[bytes], folder: Path, size: int, progress: DownloadProgress) -> None:
    while process.poll() is None:
        progress(min(_largest(folder), size), size)
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
    if not process.returncode:
        progress(size, size)


def _largest(folder: Path) -> int:
    sizes = [0]
    for path in folder.rglob("*"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:  # pip has removed it meanwhile
            continue
    return max(sizes)


def complaint(log: str) -> str:
    """Return the last thing that pip printed, without its label and full stop."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith(("WARNING", "[notice]"))]
    return lines[-1].removeprefix("ERROR: ").rstrip(".") if lines else "it gave no reason"
