"""Recordings of sessions: begin, end, download. They lie in one folder, under names that nobody can guess."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse

from pipeline.core.animator import Animator
from pipeline.core.registry import AnimatorError, require
from realtime.endpoints.motion_recorder import MotionRecorder
from realtime.endpoints.output import Output
from realtime.endpoints.recorder import NoRoom, Recorder, RecordingError, disk_room
from realtime.session import Session
from web.core.settings import Settings
from web.routes.sessions import read_json

NAME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{16}\.(mp4|npz)")
TYPES = {".mp4": "video/mp4", ".npz": "application/octet-stream"}
WISHES = ("side_by_side", "motion")

router = APIRouter()


@dataclass(frozen=True)
class Recordings:
    """The folder, and the most bytes of recordings in it. None is ever deleted here."""

    folder: Path
    limit: int

    @classmethod
    def of(cls, settings: Settings) -> Recordings:
        """As the server was told; by default in the user's folder for videos."""
        return cls(settings.recordings or _users_folder(), settings.recordings_limit * 10**9)

    def new(self) -> Path:
        """A name for the next one, of the date and a secret: who knows it may download it. NoRoom."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NoRoom(
                f"The folder {self.folder} cannot be made ({error.strerror}); choose another with --recordings."
            ) from error
        return self.folder / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(8)}.mp4"

    def room(self) -> str | None:
        """Why nothing more may be written there; None where there is room."""
        taken = sum(_size(path) for path in self.folder.iterdir() if NAME.fullmatch(path.name))
        if taken < self.limit:
            return disk_room(self.folder)
        return (
            f"All recordings together may take {self.limit / 1e9:g} GB; "
            f"delete some in {self.folder}, or start the server with a larger --recordings-limit."
        )

    def find(self, name: str) -> Path | None:
        """The recording of this name."""
        path = self.folder / name
        return path if NAME.fullmatch(name) and path.is_file() else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # deleted meanwhile
        return 0


def _users_folder() -> Path:
    import platformdirs

    return platformdirs.user_videos_path() / "Webcam puppeteer"


@router.put("/session/{id}/recording", status_code=201)
async def begin(request: Request, id: str) -> dict[str, str]:
    """{"side_by_side": with the camera on the left, "motion": its motion, too}, both false where they are not told."""
    wishes = _checked(await read_json(request))
    session: Session = request.app.state.sessions.get(id)
    if session.output("recording"):
        raise HTTPException(409, "This session is being recorded already; end that recording first.")
    try:
        animator = request.app.state.engine.loaded.animator
        path = _begin(session, animator, request.app.state.recordings, wishes)
    except (RecordingError, AnimatorError) as error:
        raise HTTPException(507 if isinstance(error, NoRoom) else 409, str(error)) from error
    return {"name": path.name}


def _checked(wishes: dict[str, Any]) -> dict[str, bool]:
    for name, value in wishes.items():
        if name not in WISHES or not isinstance(value, bool):
            raise HTTPException(422, f"A recording can be told {' and '.join(WISHES)}, each true or false.")
    return wishes


def _begin(session: Session, animator: Animator, recordings: Recordings, wishes: dict[str, bool]) -> Path:
    if wishes.get("motion"):
        require(animator, "motion_files", "Recorded motion")
    path = recordings.new()
    beside = wishes.get("side_by_side", False)
    session.add_output(Recorder(path, side_by_side=beside, audio=session.receives_voice, room=recordings.room))
    if wishes.get("motion"):
        session.add_output(MotionRecorder(path.with_suffix(".npz")))
    return path


@router.delete("/session/{id}/recording")
async def end(request: Request, id: str) -> dict[str, Any]:
    """Where the finished file can be had; "motion": the same of the motion, null where there is none."""
    session: Session = request.app.state.sessions.get(id)
    outputs = session.output("recording"), session.output("motion")
    if outputs[0] is None:
        raise HTTPException(404, "This session is not being recorded.")
    for output in filter(None, outputs):
        await session.remove_output(output)
    recording, motion = (_linked(request.app.state.recordings, output) for output in outputs)
    if recording is None:
        problem = outputs[0].report()["problem"]
        raise HTTPException(409, problem or "Nothing was shown meanwhile, so there is no recording.")
    return {**recording, "motion": motion}


def _linked(recordings: Recordings, output: Output | None) -> dict[str, Any] | None:
    """Its report, with where the file can be had; None where there is no file."""
    report = output.report() if output else {"name": ""}
    return {**report, "url": f"/recordings/{report['name']}"} if recordings.find(report["name"]) else None


@router.get("/recordings/{name}")
async def download(request: Request, name: str) -> FileResponse:
    """The file; a part of it where the request asks for that."""
    path = request.app.state.recordings.find(name)
    if path is None:
        raise HTTPException(404, "There is no such recording; it may have been deleted.")
    outputs = [session.output("recording") for session in request.app.state.sessions]
    if any(recorder and recorder.report()["name"] == path.name for recorder in outputs):
        raise HTTPException(409, "This recording has not ended; end it first.")
    return FileResponse(path, media_type=TYPES[path.suffix], filename=path.name)
