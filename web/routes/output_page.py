"""GET /view/{session}: only the puppet, for OBS and other programs that show pages; it watches by WHEP."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

PAGE = Path(__file__).parents[1] / "static" / "output" / "output.html"

router = APIRouter()


@router.get("/view/{session}")
async def view(session: str) -> FileResponse:
    """Answer with the same page for every session; its script reads from the address which one to show."""
    return FileResponse(PAGE)
