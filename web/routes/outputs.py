"""Where a session's pictures go besides its page: recordings, and a virtual camera of the server's machine."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse

from pipeline.core.registry import require
from realtime.core.threads import in_thread
from realtime.endpoints.motion_recorder import MotionRecorder
from realtime.endpoints.output import Output
from realtime.endpoints.recorder import Recorder
from realtime.endpoints.virtual_camera import VirtualCamera
from realtime.sessions import UnknownSession
from web.core.requests import JsonBody, read_json
from web.routes.dependencies import EngineDep, RecordingsDep, SessionDep, SessionsDep
from web.services.recordings import Recordings

TYPES = {".mp4": "video/mp4", ".npz": "application/octet-stream"}

router = APIRouter()


class RecordingRequest(JsonBody):
    """What to record: with the camera on the left, and with the driver's motion in a second file."""

    side_by_side: bool = False
    motion: bool = False


@router.put("/session/{id}/recording", status_code=201)
async def begin(request: Request, session: SessionDep, engine: EngineDep, recordings: RecordingsDep) -> dict[str, str]:
    """Begin to record; answer with the file's name."""
    wanted = await read_json(request, RecordingRequest)
    if session.output("recording"):
        raise HTTPException(409, "This session is being recorded already; end that recording first.")
    if wanted.motion:
        require(engine.loaded.animator, "motion_files", "Recorded motion")
    path = recordings.new()
    layout, audio = wanted.side_by_side, session.receives_voice
    session.add_output(Recorder(path, side_by_side=layout, audio=audio, room=recordings.room))
    if wanted.motion:
        session.add_output(MotionRecorder(path.with_suffix(".npz")))
    return {"name": path.name}


@router.delete("/session/{id}/recording")
async def end(session: SessionDep, recordings: RecordingsDep) -> dict[str, Any]:
    """End the recording; answer with its report and URL, and under "motion" the same of the motion, or null."""
    outputs = session.output("recording"), session.output("motion")
    if outputs[0] is None:
        raise HTTPException(404, "This session is not being recorded.")
    for output in filter(None, outputs):
        await session.remove_output(output)
    recording, motion = (_linked(recordings, output) for output in outputs)
    if recording is None:
        problem = outputs[0].report()["problem"]
        raise HTTPException(409, problem or "No picture was shown while it recorded, so there is no recording.")
    return {**recording, "motion": motion}


def _linked(recordings: Recordings, output: Output | None) -> dict[str, Any] | None:
    report = output.report() if output else {"name": ""}
    return {**report, "url": f"/recordings/{report['name']}"} if recordings.find(report["name"]) else None


@router.get("/recordings/{name}")
async def download(recordings: RecordingsDep, sessions: SessionsDep, name: str) -> FileResponse:
    """Answer with the file, or the part of it that the request asks for; 409 while it is being written."""
    path = recordings.find(name)
    if path is None:
        raise HTTPException(404, "There is no such recording; it may have been deleted.")
    outputs = [session.output("recording") for session in sessions]
    if any(recorder and recorder.report()["name"] == path.name for recorder in outputs):
        raise HTTPException(409, "This recording has not ended; end it first.")
    return FileResponse(path, media_type=TYPES[path.suffix], filename=path.name)


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
