"""What pages load besides the files in web/static: the output page and the demo clip."""

from fastapi import APIRouter
from fastapi.responses import FileResponse

from web.core.program import STATIC
from web.routes.dependencies import DemoClipDep

router = APIRouter()


@router.get("/view/{session}")
async def view(session: str) -> FileResponse:
    """Answer with the output page: only the puppet, for OBS. Its script reads the session from the address."""
    return FileResponse(STATIC / "output" / "output.html")


@router.get("/demo.mp4")
async def demo(clip: DemoClipDep) -> FileResponse:
    """Answer with the driver for people without a camera; the first request renders it, which takes seconds."""
    return FileResponse(await clip.path(), media_type="video/mp4")
