"""A session's pictures to the virtual camera of the machine that runs the server: others see the puppet in calls."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request

from realtime.core.threads import in_thread
from realtime.endpoints.virtual_camera import NoVirtualCamera, VirtualCamera, VirtualCameraInUse
from realtime.session import Session
from realtime.sessions import UnknownSession

router = APIRouter()


def _session(request: Request, id: str) -> Session:
    session: Session = request.app.state.sessions.get(id)
    return session


@router.put("/session/{id}/virtual-camera")
async def switch_on(request: Request, id: str) -> dict[str, str | None]:
    """The device that shows the session's pictures from now on."""
    session = _session(request, id)
    camera = session.output("virtual_camera")
    if camera and camera.report():
        return {"device": camera.report()}
    if camera:  # its device vanished
        await session.remove_output(camera)
    camera = await _opened()
    try:
        _session(request, id).add_output(camera)
    except UnknownSession:  # it ended meanwhile
        await camera.close()
        raise
    return {"device": camera.report()}


@router.delete("/session/{id}/virtual-camera")
async def switch_off(request: Request, id: str) -> dict[str, None]:
    session = _session(request, id)
    if camera := session.output("virtual_camera"):
        await session.remove_output(camera)
    return {"device": None}


async def _opened() -> VirtualCamera:
    """Without the owner's id: whoever knows it may command the session."""
    try:
        return await in_thread(lambda: VirtualCamera("another session"))
    except VirtualCameraInUse as error:
        raise HTTPException(409, str(error)) from error
    except NoVirtualCamera as error:
        raise HTTPException(503, str(error)) from error
