"""The driver for people without a camera: a clip that the project renders itself, once per machine."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse

from web import __version__

ROOT = Path(__file__).parents[2]
RENDER = "import sys, pathlib, pipeline.files.demo_clip; pipeline.files.demo_clip.write_demo(pathlib.Path(sys.argv[1]))"

router = APIRouter()


class DemoError(RuntimeError):
    """The clip cannot be made; the text is a sentence with the remedy."""


@router.get("/demo.mp4")
async def demo(request: Request) -> FileResponse:
    """The clip; the first request ever renders it, which takes some seconds."""
    clip: DemoClip = request.app.state.demo_clip
    try:
        return FileResponse(await clip.path(), media_type="video/mp4")
    except DemoError as error:
        raise HTTPException(503, str(error)) from error


class DemoClip:
    """Where the clip lies; rendered when first asked for, in a process of its own: live sessions do not stutter."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"demo-{__version__}.mp4"
        self._turn = asyncio.Lock()

    async def path(self) -> Path:
        """The finished file. DemoError where it cannot be made."""
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
