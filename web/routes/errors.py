"""Which status an exception of the lower layers is answered with. Its text is the answer's `detail`, one sentence."""

from functools import partial
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from pipeline.core.options import OptionError
from pipeline.core.registry import AnimatorError
from pipeline.imaging.source_picture import NotAPicture, PortraitError, TooLarge
from realtime.endpoints.recorder import NoRoom, RecordingError
from realtime.endpoints.virtual_camera import NoVirtualCamera, VirtualCameraInUse
from realtime.sessions import RETRY_SECONDS, SessionsFull, UnknownSession
from realtime.webrtc.ice import NoPort
from realtime.webrtc.sdp import BadOffer, IceRestart, NoCommonCodec
from realtime.webrtc.viewers import UnknownViewer, ViewersFull
from web.core.requests import sentence
from web.services.demo_clip import DemoError
from web.services.job_queue import JobsFull, UnknownJob
from web.services.portraits import UnknownPortrait

STATUS: dict[type[Exception], int] = {
    BadOffer: 400,
    UnknownJob: 404,
    UnknownPortrait: 404,
    UnknownSession: 404,
    UnknownViewer: 404,
    NoCommonCodec: 406,
    AnimatorError: 409,
    RecordingError: 409,
    VirtualCameraInUse: 409,
    TooLarge: 413,
    NotAPicture: 415,
    IceRestart: 422,  # RFC 9725, 4.3.1: candidates are accepted, restarts are not
    OptionError: 422,
    PortraitError: 422,
    DemoError: 503,
    NoVirtualCamera: 503,
    JobsFull: 503,
    NoPort: 503,
    SessionsFull: 503,
    ViewersFull: 503,
    NoRoom: 507,
}
"""A subclass that is not listed is answered as its base class is."""

RETRY_AFTER = {JobsFull: 30, NoPort: RETRY_SECONDS, SessionsFull: RETRY_SECONDS, ViewersFull: RETRY_SECONDS}  # seconds


def add_answers(app: FastAPI) -> None:
    """Answer each exception of the table, and query parameters that FastAPI refuses."""
    for kind, status in STATUS.items():
        headers = {"retry-after": str(RETRY_AFTER[kind])} if kind in RETRY_AFTER else None
        app.add_exception_handler(kind, partial(_answer, status, headers))
    app.add_exception_handler(RequestValidationError, _refuse_parameters)


async def _answer(status: int, headers: dict[str, str] | None, _: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status, headers)


async def _refuse_parameters(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": sentence(cast(RequestValidationError, error).errors())}, 422)
