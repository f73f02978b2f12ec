"""The routes of portraits: upload one, see it at rest, see it idle."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from pipeline.imaging.source_picture import MAX_BYTES
from web.core.requests import read_body
from web.routes.dependencies import PortraitsDep

router = APIRouter()


@router.post("/portraits", status_code=201)
async def add_portrait(request: Request, portraits: PortraitsDep, name: str = "") -> dict[str, Any]:
    """Prepare the picture in the body; answer with its id and warnings. `name`: what its file is called."""
    prepared = await portraits.add(await read_body(request, MAX_BYTES), name)
    return {"id": prepared.id, "warnings": list(prepared.portrait.warnings)}


@router.get("/portraits/{id}")
async def portrait_at_rest(portraits: PortraitsDep, id: str) -> Response:
    """Answer with the portrait at rest, as JPEG."""
    return Response((await portraits.get(id)).rest, media_type="image/jpeg")


@router.get("/portraits/{id}/idle.mp4")
async def idling_portrait(portraits: PortraitsDep, id: str) -> Response:
    """Answer with a loop in which the portrait breathes and blinks; 404 if the animator is too slow to render one."""
    loop = await portraits.idle_loop(id)
    if loop is None:
        raise HTTPException(404, "This animator is too slow for an idle loop; show the picture at rest.")
    return Response(loop, media_type="video/mp4")
