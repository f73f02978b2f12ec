"""The driver for people without a camera: a clip that the program renders itself, once per machine."""

import asyncio
import os
import sys
from pathlib import Path

from web import __version__
from web.core.program import ROOT

RENDER = "import sys, pathlib, pipeline.files.demo_clip; pipeline.files.demo_clip.write_demo(pathlib.Path(sys.argv[1]))"


class DemoError(RuntimeError):
    """The clip cannot be rendered; the text is a sentence with the remedy."""


class DemoClip:
    """The clip's file; rendered on the first use, in its own process, so that live sessions do not stutter."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"demo-{__version__}.mp4"
        self._turn = asyncio.Lock()

    async def path(self) -> Path:
        """Return the finished file. Raise DemoError if it cannot be rendered."""
        async with self._turn:
            if not self._path.exists():
                unfinished = self._path.with_stem(f"demo-{os.getpid()}")
                try:
                    await _render(unfinished)
                    unfinished.replace(self._path)
                finally:
                    unfinished.unlink(missing_ok=True)
        return self._path


async def _render(path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RENDER, str(path), cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, complaint = await process.communicate()
    finally:
        if process.returncode is None:  # the server ends meanwhile
            process.kill()
    if process.returncode != 0:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise DemoError(f"The demo driver could not be rendered ({last}); use a camera instead.")
