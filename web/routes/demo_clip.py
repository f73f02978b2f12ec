"""GET /demo.mp4: the driver for people without a camera."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from web.routes.dependencies import DemoClipDep

router = APIRouter()


@router.get("/demo.mp4")
async def demo(clip: DemoClipDep) -> FileResponse:
    """Answer with the clip; the first request on a machine renders it, which takes seconds."""
    return FileResponse(await clip.path(), media_type="video/mp4")
