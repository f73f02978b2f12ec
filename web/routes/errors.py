"""Which status an exception of the lower layers is answered with. Its text is the answer's `detail`, one sentence."""

from functools import partial
from typing import NamedTuple, cast

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


class Answer(NamedTuple):
    """A status, and the seconds in Retry-After."""

    status: int
    retry_after: int | None = None


ANSWERS: dict[type[Exception], Answer] = {
    BadOffer: Answer(400),
    UnknownJob: Answer(404),
    UnknownPortrait: Answer(404),
    UnknownSession: Answer(404),
    UnknownViewer: Answer(404),
    NoCommonCodec: Answer(406),
    AnimatorError: Answer(409),
    RecordingError: Answer(409),
    VirtualCameraInUse: Answer(409),
    TooLarge: Answer(413),
    NotAPicture: Answer(415),
    IceRestart: Answer(422),  # RFC 9725, 4.3.1: candidates are accepted, restarts are not
    OptionError: Answer(422),
    PortraitError: Answer(422),
    DemoError: Answer(503),
    NoVirtualCamera: Answer(503),
    JobsFull: Answer(503, 30),
    NoPort: Answer(503, RETRY_SECONDS),
    SessionsFull: Answer(503, RETRY_SECONDS),
    ViewersFull: Answer(503, RETRY_SECONDS),
    NoRoom: Answer(507),
}
"""A subclass that is not listed is answered as its base class is."""


def add_answers(app: FastAPI) -> None:
    """Answer each exception of the table, and query parameters that FastAPI refuses."""
    for kind, answer in ANSWERS.items():
        app.add_exception_handler(kind, partial(_answer, answer))
    app.add_exception_handler(RequestValidationError, _refuse_parameters)


async def _answer(answer: Answer, _: Request, error: Exception) -> JSONResponse:
    headers = {"retry-after": str(answer.retry_after)} if answer.retry_after else None
    return JSONResponse({"detail": str(error)}, answer.status, headers)


async def _refuse_parameters(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": sentence(cast(RequestValidationError, error).errors())}, 422)
