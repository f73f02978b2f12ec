"""WHIP (RFC 9725): a stream drives a puppet. WHEP (draft-ietf-wish-whep-03): others watch a session.

Both go alike. An SDP offer is posted to an endpoint; the answer names a resource, which takes further candidates by
PATCH and ends by DELETE. ICE is never restarted, so a resource keeps one entity-tag.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from realtime.session import Session
from realtime.sessions import NEWEST, RETRY_SECONDS, Sessions, UnknownSession
from realtime.webrtc.ice import NoPort
from realtime.webrtc.sdp import DRIVER, IceRestart, NoCommonCodec
from realtime.webrtc.settings import IceServer
from realtime.webrtc.viewers import UnknownViewer, ViewersFull
from web.core.settings import Settings
from web.routes.sessions import read_text

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"  # RFC 8840
ENDPOINT = {"allow": "GET, HEAD, OPTIONS, POST", "accept-post": SDP}
RESOURCE = {"allow": "DELETE, GET, HEAD, OPTIONS, PATCH", "accept-patch": FRAGMENT}
REFUSALS: dict[type[Exception], int] = {
    NoCommonCodec: 406,
    IceRestart: 422,  # as the RFC says of who takes candidates but no restarts (4.3.1)
    UnknownViewer: 404,
    ViewersFull: 503,
    NoPort: 503,
}

router = APIRouter()


@router.post("/whip")
async def ingest(request: Request) -> Response:
    """Begin a session that the offered stream drives."""
    opened = await _sessions(request).open(await read_text(request, SDP), role=DRIVER)
    return _created(request, f"/whip/{opened.session.id}", opened.answer)


@router.patch("/whip/{id}")
async def trickle(request: Request, id: str) -> Response:
    session = _driven(request, id)
    await session.add_candidates(await _fragment(request))
    return Response(status_code=204)


@router.delete("/whip/{id}")
async def end(request: Request, id: str) -> Response:
    await _sessions(request).close(_driven(request, id).id)
    return Response()


@router.api_route("/whip/{id}", methods=["GET", "HEAD"])
async def is_driven(request: Request, id: str) -> Response:
    _driven(request, id)
    return Response(status_code=204)


@router.post("/whep/{session}")
async def watch(request: Request, session: str) -> Response:
    """Let a viewer in. `session` is an id, or "whip" for the newest session that a stream drives."""
    offer = await read_text(request, SDP)
    watched = _watched(request, session)
    viewer = await watched.viewers.open(offer)
    return _created(request, f"/whep/{watched.id}/{viewer.id}", viewer.answer)


@router.patch("/whep/{session}/{viewer}")
async def trickle_to_viewer(request: Request, session: str, viewer: str) -> Response:
    peer = _watched(request, session).viewers.peer(viewer)
    await peer.add_candidates(await _fragment(request))
    return Response(status_code=204)


@router.delete("/whep/{session}/{viewer}")
async def leave(request: Request, session: str, viewer: str) -> Response:
    await _watched(request, session).viewers.close_one(viewer)
    return Response()


@router.api_route("/whep/{session}/{viewer}", methods=["GET", "HEAD"])
async def is_watching(request: Request, session: str, viewer: str) -> Response:
    _watched(request, session).viewers.peer(viewer)
    return Response(status_code=204)


@router.api_route("/whip", methods=["GET", "HEAD"])
@router.api_route("/whep/{session}", methods=["GET", "HEAD"])
async def nothing_to_read() -> Response:
    """These have no representation (RFC 9725, 4.1)."""
    return Response(status_code=204)


@router.options("/whip")
@router.options("/whep/{session}")
async def of_an_endpoint(request: Request) -> Response:
    return _with_ice_servers(request, Response(headers=ENDPOINT))


@router.options("/whip/{id}")
@router.options("/whep/{session}/{viewer}")
async def of_a_resource() -> Response:
    return Response(headers=RESOURCE)


@router.api_route("/whip", methods=["DELETE", "PATCH", "PUT"])
@router.api_route("/whep/{session}", methods=["DELETE", "PATCH", "PUT"])
async def not_at_an_endpoint() -> None:
    raise HTTPException(405, "An SDP offer is posted here, and nothing else is done.", ENDPOINT)


@router.api_route("/whip/{id}", methods=["POST", "PUT"])
@router.api_route("/whep/{session}/{viewer}", methods=["POST", "PUT"])
async def not_at_a_resource() -> None:
    raise HTTPException(405, "This connection takes candidates by PATCH and ends by DELETE.", RESOURCE)


def add_refusals(app: FastAPI) -> None:
    """What the lower layers raise, as answers."""

    async def refuse(request: Request, error: Exception) -> Response:
        status = REFUSALS[type(error)]
        headers = {"retry-after": str(RETRY_SECONDS)} if status == 503 else None
        return JSONResponse({"detail": str(error)}, status, headers)

    for kind in REFUSALS:
        app.add_exception_handler(kind, refuse)


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


def _driven(request: Request, id: str) -> Session:
    """The session of this id that a stream drives; UnknownSession where a browser does, or nobody."""
    session = _sessions(request).get(id)
    if session.role is not DRIVER:
        raise UnknownSession(id)
    return session


def _watched(request: Request, id: str) -> Session:
    try:
        return _sessions(request).get(id)
    except UnknownSession:
        if id != NEWEST:
            raise
        retry = {"retry-after": str(RETRY_SECONDS)}
        raise HTTPException(409, "No stream drives a puppet yet; send one to /whip.", retry) from None


async def _fragment(request: Request) -> str:
    """The candidates of a PATCH; 428, 412 and 400 where it does not say of which ICE session they are, or is none."""
    fragment = await read_text(request, FRAGMENT)
    named = request.headers.get("if-match")
    if named is None:
        raise HTTPException(428, "Send If-Match with the entity-tag that came with the answer.")
    if not {"*", _entity_tag(request.url.path)} & {tag.strip() for tag in named.split(",")}:
        raise HTTPException(412, "The entity-tag in If-Match is not that of this connection.")
    if not fragment.strip() or any(line[1:2] != "=" for line in fragment.splitlines() if line):
        raise HTTPException(400, "This is not a fragment of a session description (RFC 8840).")
    return fragment


def _created(request: Request, location: str, answer: str) -> Response:
    headers = {"location": location, "etag": _entity_tag(location), "accept-patch": FRAGMENT}
    return _with_ice_servers(request, Response(answer, 201, headers, SDP))


def _entity_tag(location: str) -> str:
    """A strong one (RFC 9110, 8.8.3), of the resource's random id."""
    return f'"{location.rpartition("/")[2][:8]}"'


def _with_ice_servers(request: Request, response: Response) -> Response:
    settings: Settings = request.app.state.settings
    for text in settings.media.ice_servers:
        response.headers.append("link", "; ".join(_link(IceServer.parse(text))))
    return response


def _link(server: IceServer) -> Iterator[str]:
    """The parts of a Link to a STUN or TURN server (RFC 9725, 4.6)."""
    yield f"<{server.urls}>"
    yield 'rel="ice-server"'
    if server.username:
        yield f"username={_quoted(server.username)}"
        yield f"credential={_quoted(server.credential)}"
        yield 'credential-type="password"'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
