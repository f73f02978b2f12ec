"""The routes of the virtual camera: a session's pictures, for calls on the machine that runs the server."""

from __future__ import annotations

from fastapi import APIRouter

from realtime.core.threads import in_thread
from realtime.endpoints.virtual_camera import VirtualCamera
from realtime.sessions import UnknownSession
from web.routes.dependencies import SessionDep, SessionsDep

router = APIRouter()


@router.put("/session/{id}/virtual-camera")
async def switch_on(sessions: SessionsDep, session: SessionDep, id: str) -> dict[str, str | None]:
    """Show the session's pictures on the virtual camera; answer with its device."""
    before = session.output("virtual_camera")
    if before and before.report():
        return {"device": before.report()}
    if before:  # its device vanished
        await session.remove_output(before)
    camera = await in_thread(lambda: VirtualCamera("another session"))  # no id here: who knows it controls the session
    try:
        sessions.get(id).add_output(camera)
    except UnknownSession:  # it ended meanwhile
        await camera.close()
        raise
    return {"device": camera.report()}


@router.delete("/session/{id}/virtual-camera")
async def switch_off(session: SessionDep) -> dict[str, None]:
    """Release the virtual camera; answer with no device."""
    if camera := session.output("virtual_camera"):
        await session.remove_output(camera)
    return {"device": None}
