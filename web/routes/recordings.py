"""The routes of recordings: begin, end, download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse

from pipeline.core.animator import Animator
from pipeline.core.registry import require
from realtime.endpoints.motion_recorder import MotionRecorder
from realtime.endpoints.output import Output
from realtime.endpoints.recorder import Recorder
from realtime.session import Session
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
    animator = engine.loaded.animator
    return {"name": _begin(session, animator, recordings, wanted).name}


def _begin(session: Session, animator: Animator, recordings: Recordings, wanted: RecordingRequest) -> Path:
    if wanted.motion:
        require(animator, "motion_files", "Recorded motion")
    path = recordings.new()
    session.add_output(
        Recorder(path, side_by_side=wanted.side_by_side, audio=session.receives_voice, room=recordings.room)
    )
    if wanted.motion:
        session.add_output(MotionRecorder(path.with_suffix(".npz")))
    return path


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
