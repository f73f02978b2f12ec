"""Run tests with Triton's interpreter, which executes kernels on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def check_interpreted(file: str, count: int) -> None:
    """Assert that the `count` tests of `file` with "interpreted" in their names pass.

    They run in their own process, because Triton reads its mode when it is imported.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "interpreted", file]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0 and f"{count} passed" in done.stdout and "skipped" not in done.stdout, done.stdout
