"""WHIP (RFC 9725): a stream drives a puppet. WHEP (draft-ietf-wish-whep-03): others watch a session.

Both go alike. An SDP offer is posted to an endpoint; the answer names a resource, which takes further candidates by
PATCH and ends by DELETE. ICE is never restarted, so a resource keeps one entity-tag.
"""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response

from realtime.session import Session
from realtime.sessions import NEWEST, RETRY_SECONDS, UnknownSession
from realtime.webrtc.sdp import DRIVER
from realtime.webrtc.settings import IceServer
from web.core.requests import read_text
from web.core.settings import Settings
from web.routes.dependencies import SessionsDep, SettingsDep

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"  # RFC 8840
ENDPOINT = {"allow": "GET, HEAD, OPTIONS, POST", "accept-post": SDP}
RESOURCE = {"allow": "DELETE, GET, HEAD, OPTIONS, PATCH", "accept-patch": FRAGMENT}

router = APIRouter()


async def _driven(id: str, sessions: SessionsDep) -> Session:
    """Return the session of this id. Raise UnknownSession if no stream drives it."""
    session = sessions.get(id)
    if session.role is not DRIVER:
        raise UnknownSession(id)
    return session


async def _watched(session: str, sessions: SessionsDep) -> Session:
    try:
        return sessions.get(session)
    except UnknownSession:
        if session != NEWEST:
            raise
        retry = {"retry-after": str(RETRY_SECONDS)}
        raise HTTPException(409, "No stream drives a puppet yet; send one to /whip.", retry) from None


DrivenDep = Annotated[Session, Depends(_driven)]
WatchedDep = Annotated[Session, Depends(_watched)]
"""`session` in the path is an id, or "whip" for the newest session that a stream drives."""


@router.post("/whip")
async def ingest(request: Request, sessions: SessionsDep, settings: SettingsDep) -> Response:
    """Open a session that the offered stream drives; answer with the SDP answer, and its path in Location."""
    session, answer = await sessions.open(await read_text(request, SDP), role=DRIVER)
    return _created(settings, f"/whip/{session.id}", answer)


@router.patch("/whip/{id}")
async def trickle(request: Request, session: DrivenDep) -> Response:
    """Add ICE candidates of the stream's sender; answer 204."""
    await session.add_candidates(await _fragment(request))
    return Response(status_code=204)


@router.delete("/whip/{id}")
async def end(sessions: SessionsDep, session: DrivenDep) -> Response:
    """End the session; answer 200."""
    await sessions.close(session.id)
    return Response()


@router.api_route("/whip/{id}", methods=["GET", "HEAD"], dependencies=[Depends(_driven)])
async def is_driven() -> Response:
    """Answer 204 while the session lives, then 404."""
    return Response(status_code=204)


@router.post("/whep/{session}")
async def watch(request: Request, watched: WatchedDep, settings: SettingsDep) -> Response:
    """Let a viewer in; answer with the SDP answer, and the viewer's path in Location."""
    viewer, answer = await watched.viewers.open(await read_text(request, SDP))
    return _created(settings, f"/whep/{watched.id}/{viewer}", answer)


@router.patch("/whep/{session}/{viewer}")
async def trickle_to_viewer(request: Request, watched: WatchedDep, viewer: str) -> Response:
    """Add ICE candidates of a viewer; answer 204."""
    peer = watched.viewers.peer(viewer)
    await peer.add_candidates(await _fragment(request))
    return Response(status_code=204)


@router.delete("/whep/{session}/{viewer}")
async def leave(watched: WatchedDep, viewer: str) -> Response:
    """End what a viewer watches; answer 200."""
    await watched.viewers.close_one(viewer)
    return Response()


@router.api_route("/whep/{session}/{viewer}", methods=["GET", "HEAD"])
async def is_watching(watched: WatchedDep, viewer: str) -> Response:
    """Answer 204 while the viewer watches, then 404."""
    watched.viewers.peer(viewer)
    return Response(status_code=204)


@router.api_route("/whip", methods=["GET", "HEAD"])
@router.api_route("/whep/{session}", methods=["GET", "HEAD"])
async def nothing_to_read() -> Response:
    """Answer 204: an endpoint has no representation (RFC 9725, 4.1)."""
    return Response(status_code=204)


@router.options("/whip")
@router.options("/whep/{session}")
async def endpoint_options(settings: SettingsDep) -> Response:
    """Answer with the methods, the content type and the ICE servers of an endpoint."""
    return _with_ice_servers(settings, Response(headers=ENDPOINT))


@router.options("/whip/{id}")
@router.options("/whep/{session}/{viewer}")
async def resource_options() -> Response:
    """Answer with the methods and the content type of a connection."""
    return Response(headers=RESOURCE)


@router.api_route("/whip", methods=["DELETE", "PATCH", "PUT"])
@router.api_route("/whep/{session}", methods=["DELETE", "PATCH", "PUT"])
async def not_at_an_endpoint() -> None:
    """Answer 405 with the methods of an endpoint."""
    raise HTTPException(405, "Only POST with an SDP offer works here.", ENDPOINT)


@router.api_route("/whip/{id}", methods=["POST", "PUT"])
@router.api_route("/whep/{session}/{viewer}", methods=["POST", "PUT"])
async def not_at_a_resource() -> None:
    """Answer 405 with the methods of a connection."""
    raise HTTPException(405, "This connection takes candidates by PATCH and ends by DELETE.", RESOURCE)


async def _fragment(request: Request) -> str:
    """Return the candidates of a PATCH; 428 without If-Match, 412 with a wrong one, 400 if they are none."""
    fragment = await read_text(request, FRAGMENT)
    named = request.headers.get("if-match")
    if named is None:
        raise HTTPException(428, "Send If-Match with the entity-tag that came with the answer.")
    if not {"*", _entity_tag(request.url.path)} & {tag.strip() for tag in named.split(",")}:
        raise HTTPException(412, "The entity-tag in If-Match is not that of this connection.")
    if not fragment.strip() or any(line[1:2] != "=" for line in fragment.splitlines() if line):
        raise HTTPException(400, "This is not a fragment of a session description (RFC 8840).")
    return fragment


def _created(settings: Settings, location: str, answer: str) -> Response:
    headers = {"location": location, "etag": _entity_tag(location), "accept-patch": FRAGMENT}
    return _with_ice_servers(settings, Response(answer, 201, headers, SDP))


def _entity_tag(location: str) -> str:
    """Return a strong entity-tag (RFC 9110, 8.8.3), made of the resource's random id."""
    return f'"{location.rpartition("/")[2][:8]}"'


def _with_ice_servers(settings: Settings, response: Response) -> Response:
    for text in settings.media.ice_servers:
        response.headers.append("link", "; ".join(_link(IceServer.parse(text))))
    return response


def _link(server: IceServer) -> Iterator[str]:
    """Yield the parts of a Link to a STUN or TURN server (RFC 9725, 4.6)."""
    yield f"<{server.urls}>"
    yield 'rel="ice-server"'
    if server.username:
        yield f"username={_quoted(server.username)}"
        yield f"credential={_quoted(server.credential)}"
        yield 'credential-type="password"'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
