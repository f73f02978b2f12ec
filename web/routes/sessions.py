"""The routes of a session: offers, portraits, options, statistics. Bad input is answered with 4xx and one sentence."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from pipeline.core.options import OptionError
from pipeline.imaging.source_picture import MAX_BYTES, NotAPicture, PortraitError, TooLarge
from realtime.session import Session
from realtime.sessions import Sessions, SessionsFull, UnknownSession
from realtime.webrtc.sdp import BadOffer
from web import __version__
from web.services.engine import Engine
from web.services.portraits import Portraits, Prepared, UnknownPortrait

MAX_TEXT = 64_000  # bytes of an SDP or a JSON body
PICTURE_STATUS = {NotAPicture: 415, TooLarge: 413}  # else 422

router = APIRouter()


async def read_body(request: Request, limit: int) -> bytes:
    """The body; 413 as soon as it is known to be too long, without reading on."""
    body = bytearray()
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise HTTPException(413, f"The request is too long; at most {limit} bytes are read here.")


async def read_text(request: Request, content_type: str) -> str:
    """A UTF-8 body of exactly this content type."""
    if _content_type(request) != content_type:
        raise HTTPException(415, f"Send this with Content-Type: {content_type}.")
    try:
        return (await read_body(request, MAX_TEXT)).decode()
    except UnicodeDecodeError as error:
        raise HTTPException(400, "The request is not UTF-8 text.") from error


async def read_json(request: Request) -> dict[str, Any]:
    try:
        value = json.loads(await read_text(request, "application/json"))
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"The request is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise HTTPException(400, "The request must be a JSON object.")
    return value


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


def _portraits(request: Request) -> Portraits:
    portraits: Portraits = request.app.state.engine.portraits
    return portraits


@router.post("/session")
async def open_session(request: Request, portrait: str | None = None, page: str | None = None) -> Response:
    """The answer to an SDP offer. `portrait` is the id of the portrait to start with, `page` Gradio's of the page."""
    offer = await read_text(request, "application/sdp")
    chosen = None if portrait is None else await _portraits(request).get(portrait)
    opened = await _sessions(request).open(offer, chosen.portrait if chosen else None)
    if page is not None:
        request.app.state.pages.began(page, opened.session.id)
    return Response(opened.answer, 201, {"location": f"/session/{opened.session.id}"}, "application/sdp")


@router.patch("/session/{id}")
async def trickle(request: Request, id: str) -> Response:
    """Candidates that the browser found after its offer (RFC 8840)."""
    fragment = await read_text(request, "application/trickle-ice-sdpfrag")
    await _sessions(request).get(id).add_candidates(fragment)
    return Response(status_code=204)


@router.delete("/session/{id}")
@router.post("/session/{id}/close")  # navigator.sendBeacon can only POST
async def close_session(request: Request, id: str) -> dict[str, str]:
    await _sessions(request).close(id)
    return {"state": "closed"}


@router.put("/session/{id}/portrait")
async def set_portrait(request: Request, id: str) -> dict[str, list[str]]:
    """The body is a picture, or {"id": ...} of one that is ready."""
    session = _sessions(request).get(id)
    prepared = await _chosen(request)
    session.set_portrait(prepared.portrait)
    return {"warnings": list(prepared.portrait.warnings)}


async def _chosen(request: Request) -> Prepared:
    if _content_type(request) == "application/json":
        return await _portraits(request).get(str((await read_json(request)).get("id")))
    return await _portraits(request).add(await read_body(request, MAX_BYTES))


@router.get("/session/{id}/options")
async def options(request: Request, id: str) -> dict[str, Any]:
    return dataclasses.asdict(_sessions(request).get(id).options)


@router.patch("/session/{id}/options")
async def set_options(request: Request, id: str) -> dict[str, Any]:
    session: Session = _sessions(request).get(id)
    return dataclasses.asdict(session.set_options(await read_json(request)))


@router.post("/session/{id}/calibrate")
async def calibrate(request: Request, id: str) -> dict[str, str]:
    _sessions(request).get(id).calibrate()
    return {"state": "calibrating"}


@router.put("/session/{id}/freeze")
async def freeze(request: Request, id: str) -> dict[str, bool]:
    on = (await read_json(request)).get("on")
    if not isinstance(on, bool):
        raise HTTPException(422, "'on' must be true or false.")
    _sessions(request).get(id).freeze(on)
    return {"on": on}


@router.get("/session/{id}/stats")
async def stats(request: Request, id: str) -> Mapping[str, Any]:
    return _sessions(request).get(id).stats()


@router.post("/portraits", status_code=201)
async def add_portrait(request: Request, name: str = "") -> dict[str, Any]:
    """Make a picture ready before it is shown: its id, and what may look wrong. `name` is that of its file."""
    prepared = await _portraits(request).add(await read_body(request, MAX_BYTES), name)
    return {"id": prepared.id, "warnings": list(prepared.portrait.warnings)}


@router.get("/portraits/{id}")
async def portrait_at_rest(request: Request, id: str) -> Response:
    return Response((await _portraits(request).get(id)).rest, media_type="image/jpeg")


@router.get("/portraits/{id}/idle.mp4")
async def idling_portrait(request: Request, id: str) -> Response:
    """It breathes and blinks; 404 where the animator is too slow to draw that beforehand."""
    loop = await _portraits(request).idle_loop(id)
    if loop is None:
        raise HTTPException(404, "This animator is too slow for an idle loop; show the picture at rest.")
    return Response(loop, media_type="video/mp4")


@router.get("/health")
async def health(request: Request) -> dict[str, Any]:
    engine: Engine = request.app.state.engine
    return {
        "status": "ok",
        "version": __version__,
        "animator": {"name": engine.loaded.animator.name, "reason": engine.loaded.reason},
        "device": engine.loaded.device,
        "sessions": len(_sessions(request)),
        "max_sessions": request.app.state.settings.max_sessions,
    }


def add_refusals(app: FastAPI) -> None:
    """What the lower layers raise, as answers."""

    @app.exception_handler(PortraitError)
    async def bad_portrait(request: Request, error: PortraitError) -> Response:
        return _refuse(PICTURE_STATUS.get(type(error), 422), str(error))

    @app.exception_handler(OptionError)
    async def bad_option(request: Request, error: OptionError) -> Response:
        return _refuse(422, str(error))

    @app.exception_handler(BadOffer)
    async def bad_offer(request: Request, error: BadOffer) -> Response:
        return _refuse(400, str(error))

    @app.exception_handler(SessionsFull)
    async def full(request: Request, error: SessionsFull) -> Response:
        return _refuse(503, str(error), {"retry-after": str(error.retry_after)})

    @app.exception_handler(UnknownSession)
    async def unknown_session(request: Request, error: UnknownSession) -> Response:
        return _refuse(404, str(error))

    @app.exception_handler(UnknownPortrait)
    async def unknown_portrait(request: Request, error: UnknownPortrait) -> Response:
        return _refuse(404, "There is no such portrait here any more; choose the picture again.")


def _refuse(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status, headers)
