"""The routes of the page's session: offer, candidates, portrait, options, statistics, end."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import JsonValue, RootModel

from pipeline.imaging.source_picture import MAX_BYTES
from web.core.requests import JsonBody, content_type_of, read_body, read_json, read_text
from web.routes.dependencies import PageSessionsDep, PortraitsDep, SessionDep, SessionsDep
from web.services.portraits import Portraits, Prepared

router = APIRouter()


class PortraitChoice(JsonBody):
    """A portrait that is ready."""

    id: str


class FreezeBody(JsonBody):
    """Whether the portrait keeps still."""

    on: bool


class OptionChanges(RootModel[dict[str, JsonValue]]):
    """Names and values of options; AnimateOptions checks them."""


@router.post("/session")
async def open_session(
    request: Request,
    sessions: SessionsDep,
    portraits: PortraitsDep,
    pages: PageSessionsDep,
    portrait: str | None = None,
    page: str | None = None,
) -> Response:
    """Open a session for the SDP offer in the body; answer with the SDP answer, and its path in Location.

    `portrait`: the id of the first portrait. `page`: Gradio's hash of the page, with which the session ends.
    """
    offer = await read_text(request, "application/sdp")
    chosen = None if portrait is None else await portraits.get(portrait)
    session, answer = await sessions.open(offer, chosen.portrait if chosen else None)
    if page is not None:
        pages[page] = session.id
    return Response(answer, 201, {"location": f"/session/{session.id}"}, "application/sdp")


@router.patch("/session/{id}")
async def trickle(request: Request, session: SessionDep) -> Response:
    """Add ICE candidates that the browser found after its offer (RFC 8840); answer 204."""
    await session.add_candidates(await read_text(request, "application/trickle-ice-sdpfrag"))
    return Response(status_code=204)


@router.delete("/session/{id}")
@router.post("/session/{id}/close")  # navigator.sendBeacon can only POST
async def close_session(sessions: SessionsDep, id: str) -> dict[str, str]:
    """End the session; answer when nothing of it is left."""
    await sessions.close(id)
    return {"state": "closed"}


@router.put("/session/{id}/portrait")
async def set_portrait(request: Request, session: SessionDep, portraits: PortraitsDep) -> dict[str, list[str]]:
    """Show another portrait, a picture in the body or {"id": ...} of a ready one; answer with its warnings."""
    prepared = await _chosen(request, portraits)
    session.set_portrait(prepared.portrait)
    return {"warnings": list(prepared.portrait.warnings)}


async def _chosen(request: Request, portraits: Portraits) -> Prepared:
    if content_type_of(request) == "application/json":
        return await portraits.get((await read_json(request, PortraitChoice)).id)
    return await portraits.add(await read_body(request, MAX_BYTES))


@router.get("/session/{id}/options")
async def options(session: SessionDep) -> dict[str, Any]:
    """Answer with all options."""
    return dataclasses.asdict(session.options)


@router.patch("/session/{id}/options")
async def set_options(request: Request, session: SessionDep) -> dict[str, Any]:
    """Change the options in the body, all or none of them; answer with all options."""
    return dataclasses.asdict(session.set_options((await read_json(request, OptionChanges)).root))


@router.post("/session/{id}/calibrate")
async def calibrate(session: SessionDep) -> dict[str, str]:
    """Take the driver's next moments as the neutral face; answer at once."""
    session.calibrate()
    return {"state": "calibrating"}


@router.put("/session/{id}/freeze")
async def freeze(request: Request, session: SessionDep) -> dict[str, bool]:
    """Freeze the portrait, or let it follow again; answer with which."""
    wanted = await read_json(request, FreezeBody)
    session.freeze(wanted.on)
    return {"on": wanted.on}


@router.get("/session/{id}/stats")
async def stats(session: SessionDep) -> Mapping[str, Any]:
    """Answer with the session's state and statistics."""
    return session.telemetry.stats()
