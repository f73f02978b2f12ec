"""WHIP and WHEP over HTTP: every answer of the RFC, and FFmpeg's own client in with viewers out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from realtime.webrtc import viewers as viewers_module
from realtime.webrtc.sdp import DRIVER, PUPPETEER, VIEWER, Role
from realtime.webrtc.settings import MediaSettings
from tests.support.clips import write_clip
from tests.support.fakes import LOOPBACK, FakePeer, numbered, offer_of
from tests.support.streams import streaming
from tests.support.waiting import PATIENCE
from tests.support.web_app import BAD_OFFERS, SDP, URL, application, client, make_engine
from web.core.requests import MAX_TEXT
from web.core.settings import Settings
from web.serve import WebServer, listen, uvicorn_config

FRAGMENT = {"content-type": "application/trickle-ice-sdpfrag"}
CANDIDATE = "a=mid:0\r\na=candidate:1 1 udp 2113937151 127.0.0.1 50000 typ host\r\n"
RESTART = f"a=ice-ufrag:anew\r\na=ice-pwd:{'x' * 24}\r\n{CANDIDATE}"
ELSEWHERE = "https://elsewhere.example"


def offer(role: Role, codec: str = "H264") -> str:
    return asyncio.run(offer_of(codec, role))


@pytest.fixture(scope="module")
def driver() -> str:
    return offer(DRIVER)


@pytest.fixture(scope="module")
def viewer() -> str:
    return offer(VIEWER)


@pytest.fixture(scope="module")
def web() -> Iterator[TestClient]:
    with client(driver="whip", max_sessions=2) as opened:
        yield opened


@pytest.fixture
def stream(web: TestClient, driver: str) -> Iterator[httpx.Response]:
    """What a WHIP client is answered."""
    response = web.post("/whip", content=driver, headers=SDP)
    yield response
    web.delete(response.headers["location"])


@pytest.fixture
def watcher(web: TestClient, stream: httpx.Response, viewer: str) -> httpx.Response:
    """What a viewer of that stream is answered."""
    return web.post("/whep/whip", content=viewer, headers=SDP)


@pytest.fixture(params=["stream", "watcher"])
def resource(request: pytest.FixtureRequest) -> httpx.Response:
    return request.getfixturevalue(request.param)


def sentence(response: httpx.Response) -> str:
    """The detail of a refusal, which must be a sentence and nothing else."""
    assert list(response.json()) == ["detail"]
    detail = str(response.json()["detail"])
    assert detail.endswith(".") and "Traceback" not in detail
    return detail


def test_a_stream_and_a_viewer_are_let_in(web: TestClient, stream: httpx.Response, watcher: httpx.Response) -> None:
    id = stream.headers["location"].removeprefix("/whip/")
    assert watcher.headers["location"].startswith(f"/whep/{id}/")  # of this very session, also when a newer one begins
    for response, direction in ((stream, "a=recvonly"), (watcher, "a=sendonly")):
        assert response.status_code == 201
        assert response.headers["content-type"].startswith("application/sdp")
        assert response.headers["etag"].startswith('"')
        assert response.headers["accept-patch"] == "application/trickle-ice-sdpfrag"
        assert response.text.startswith("v=0") and direction in response.text.splitlines()
        assert "link" not in response.headers
    stats = web.get(f"/session/{id}/stats").json()
    assert stats["viewers"] == 1
    assert web.get("/session/whip/stats").json()["viewers"] == 1


def test_the_end_of_a_stream(web: TestClient, driver: str) -> None:
    location = web.post("/whip", content=driver, headers=SDP).headers["location"]
    assert web.delete(location, headers={"if-match": '"whatever"'}).status_code == 200
    assert web.get("/health").json()["sessions"] == 0
    for method in ("DELETE", "GET", "HEAD", "PATCH"):
        assert web.request(method, location, headers=FRAGMENT).status_code == 404


def test_the_end_of_a_viewer(web: TestClient, stream: httpx.Response, watcher: httpx.Response) -> None:
    location = watcher.headers["location"]
    assert web.delete(location).status_code == 200
    assert web.get("/session/whip/stats").json()["viewers"] == 0
    for method in ("DELETE", "GET", "HEAD", "PATCH"):
        assert web.request(method, location, headers=FRAGMENT).status_code == 404
    assert web.get(stream.headers["location"]).status_code == 204


@pytest.mark.parametrize("endpoint", ["/whip", "/whep/whip"])
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    BAD_OFFERS,
)
def test_bad_offers(
    web: TestClient,
    stream: httpx.Response,
    endpoint: str,
    body: Any,
    headers: dict[str, str],
    status: int,
) -> None:
    response = web.post(endpoint, content=body, headers=headers)
    assert response.status_code == status
    sentence(response)
    assert web.get("/health").json()["sessions"] == 1
    assert web.get("/session/whip/stats").json()["viewers"] == 0


def test_offers_of_the_wrong_direction(web: TestClient, stream: httpx.Response, driver: str, viewer: str) -> None:
    wrong = web.post("/whip", content=viewer, headers=SDP)
    assert wrong.status_code == 400 and "sendonly or sendrecv" in sentence(wrong)
    wrong = web.post("/whep/whip", content=driver, headers=SDP)
    assert wrong.status_code == 400 and "recvonly or sendrecv" in sentence(wrong)


def test_a_codec_that_does_not_fit_is_not_acceptable(web: TestClient, stream: httpx.Response) -> None:
    response = web.post("/whep/whip", content=offer(VIEWER, "VP8"), headers=SDP)
    assert response.status_code == 406 and "H264" in sentence(response)
    strange = offer(DRIVER).replace("H264/", "H265/")
    response = web.post("/whip", content=strange, headers=SDP)
    assert response.status_code == 406 and "H264" in sentence(response)


def test_no_place_is_free(
    web: TestClient, stream: httpx.Response, driver: str, viewer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = web.post("/whip", content=driver, headers=SDP)
    full = web.post("/whip", content=driver, headers=SDP)
    assert full.status_code == 503 and int(full.headers["retry-after"]) > 0
    assert "2 sessions" in sentence(full)
    monkeypatch.setattr(viewers_module, "MOST", 0)
    full = web.post("/whep/whip", content=viewer, headers=SDP)
    assert full.status_code == 503 and int(full.headers["retry-after"]) > 0
    assert "viewers" in sentence(full)
    web.delete(second.headers["location"])


def test_a_browsers_session_is_no_whip_resource(web: TestClient, viewer: str) -> None:
    id = web.post("/session", content=offer(PUPPETEER), headers=SDP).headers["location"].removeprefix("/session/")
    assert web.delete(f"/whip/{id}").status_code == 404
    assert web.post("/whep/whip", content=viewer, headers=SDP).status_code == 409  # it is not the newest stream
    assert web.post(f"/whep/{id}", content=viewer, headers=SDP).status_code == 201  # but may be watched
    web.delete(f"/session/{id}")


def test_nobody_streams_yet(web: TestClient, viewer: str) -> None:
    response = web.post("/whep/whip", content=viewer, headers=SDP)
    assert response.status_code == 409 and int(response.headers["retry-after"]) > 0
    assert "/whip" in sentence(response)
    assert web.post("/whep/nobody", content=viewer, headers=SDP).status_code == 404


def test_candidates_trickle(web: TestClient, resource: httpx.Response) -> None:
    location, etag = resource.headers["location"], resource.headers["etag"]
    for named in (etag, "*", f'"other", {etag}'):
        response = web.patch(location, content=CANDIDATE, headers=FRAGMENT | {"if-match": named})
        assert response.status_code == 204 and "etag" not in response.headers and not response.content


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (CANDIDATE, {}, 428),
        (CANDIDATE, {"if-match": '"wrong"'}, 412),
        (CANDIDATE, {"if-match": "wrong"}, 412),
        (RESTART, {"if-match": '"wrong"'}, 412),
        (RESTART, {"if-match": "*"}, 422),
        ("", {"if-match": "*"}, 400),
        ("nonsense", {"if-match": "*"}, 400),
        (CANDIDATE, {"if-match": "*", "content-type": "application/sdp"}, 415),
        (CANDIDATE, {"if-match": "*", "content-type": ""}, 415),
        ("a" * (MAX_TEXT + 1), {"if-match": "*"}, 413),
    ],
)
def test_bad_patches_leave_the_connection(
    web: TestClient, resource: httpx.Response, body: str, headers: dict[str, str], status: int
) -> None:
    location = resource.headers["location"]
    response = web.patch(location, content=body, headers=FRAGMENT | headers)
    assert response.status_code == status
    sentence(response)
    assert web.get(location).status_code == 204


def test_a_restart_under_the_right_tag_is_refused_too(web: TestClient, resource: httpx.Response) -> None:
    headers = FRAGMENT | {"if-match": resource.headers["etag"]}
    assert web.patch(resource.headers["location"], content=RESTART, headers=headers).status_code == 422


def test_the_same_ice_session_may_be_named(web: TestClient, stream: httpx.Response, driver: str) -> None:
    name = next(line for line in driver.splitlines() if line.startswith("a=ice-ufrag:"))
    headers = FRAGMENT | {"if-match": stream.headers["etag"]}
    response = web.patch(stream.headers["location"], content=f"{name}\r\n{CANDIDATE}", headers=headers)
    assert response.status_code == 204


@pytest.mark.parametrize("endpoint", ["/whip", "/whep/whip"])
def test_what_an_endpoint_does(web: TestClient, endpoint: str) -> None:
    options = web.options(endpoint)
    assert options.status_code == 200 and options.headers["accept-post"] == "application/sdp"
    for method in ("GET", "HEAD"):
        assert (web.request(method, endpoint).status_code, web.request(method, endpoint).content) == (204, b"")
    for method in ("DELETE", "PATCH", "PUT"):
        response = web.request(method, endpoint)
        assert response.status_code == 405 and "POST" in response.headers["allow"]
        sentence(response)


def test_what_a_resource_does(web: TestClient, resource: httpx.Response) -> None:
    location = resource.headers["location"]
    options = web.options(location)
    assert options.status_code == 200 and options.headers["accept-patch"] == "application/trickle-ice-sdpfrag"
    for method in ("GET", "HEAD"):
        assert (web.request(method, location).status_code, web.request(method, location).content) == (204, b"")
    for method in ("POST", "PUT"):
        response = web.request(method, location)
        assert response.status_code == 405 and "PATCH" in response.headers["allow"]
        sentence(response)


def test_ice_servers_are_linked(driver: str) -> None:
    media = MediaSettings(strict=True, ice_servers=("stun:127.0.0.1:1", r"turns:me:p\a\"ss@relay.example:5349"))
    with client(driver="whip", whip_token="secret") as web:
        web.app.state.settings = Settings(media=media)  # type: ignore[attr-defined]
        links = web.options("/whip", headers={"authorization": "Bearer secret"}).headers.get_list("link")
    assert links == [
        '<stun:127.0.0.1:1>; rel="ice-server"',
        '<turns:relay.example:5349>; rel="ice-server"; username="me"; '
        'credential="p\\\\a\\\\\\"ss"; credential-type="password"',
    ]


def test_a_server_whose_page_asks_for_the_camera_takes_streams_too(driver: str) -> None:
    with client() as web:
        response = web.post("/whip", content=driver, headers=SDP)
        assert response.status_code == 201


def basic(password: str) -> str:
    return httpx.BasicAuth("me", password)._auth_header


@pytest.mark.parametrize("password", [None, "guess"])
def test_a_token_is_needed_and_enough(password: str | None, driver: str, viewer: str) -> None:
    with client(driver="whip", whip_token="töken", password=password) as web:
        right = {"authorization": "Bearer töken".encode()}
        for endpoint, offer in (("/whip", driver), ("/whep/whip", viewer)):
            for wrong in ({}, {"authorization": "Bearer other"}, {"authorization": "Bearer"}, {"authorization": ""}):
                response = web.post(endpoint, content=offer, headers=SDP | wrong)
                assert response.status_code == 401 and "token" in sentence(response)
                assert response.headers["www-authenticate"].startswith("Bearer")
                assert ("Basic" in response.headers["www-authenticate"]) is (password is not None)
            made = web.post(endpoint, content=offer, headers=SDP | right)
            assert made.status_code == 201
            assert web.delete(made.headers["location"]).status_code == 401
        assert web.get("/health", headers=right).status_code == (200 if password is None else 401)
        if password:
            allowed = {"authorization": basic(password)}
            assert web.post("/whip", content=driver, headers=SDP | allowed).status_code == 201


def test_only_allowed_origins_may_ask_across_sites(driver: str) -> None:
    preflight = {"access-control-request-method": "PATCH", "access-control-request-headers": "if-match,content-type"}
    with client(driver="whip", whip_token="secret", allow_origins=(ELSEWHERE,)) as web:
        allowed = web.options("/whip/x", headers=preflight | {"origin": ELSEWHERE})  # without the token
        assert allowed.status_code == 200 and allowed.headers["access-control-allow-origin"] == ELSEWHERE
        refused = web.options("/whip/x", headers=preflight | {"origin": "https://evil.example"})
        assert refused.status_code == 400 and "access-control-allow-origin" not in refused.headers
        headers = SDP | {"origin": ELSEWHERE, "authorization": "Bearer secret"}
        made = web.post("/whip", content=driver, headers=headers)
        exposed = made.headers["access-control-expose-headers"].split(", ")
        assert made.status_code == 201 and {"location", "etag", "link"} <= set(exposed)
        assert (
            web.post("/whip", content=driver, headers=headers | {"origin": "https://evil.example"}).status_code == 403
        )


# A server in a thread, FFmpeg's client, and viewers.


@contextmanager
def serving(**settings: Any) -> Iterator[str]:
    """The application on a real port: its URL."""
    chosen = Settings(port=0, driver="whip", media=LOOPBACK, **settings)
    with listen(chosen) as listener:
        server = WebServer(uvicorn_config(application(chosen, make_engine()), chosen))
        thread = threading.Thread(target=server.run, args=([listener],), name="server")
        thread.start()
        try:
            yield URL.replace("7860", str(listener.getsockname()[1]))
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "numbers.mp4", [numbered(number) for number in range(1, 256)])


async def watch(http: httpx.AsyncClient, headers: dict[str, str]) -> tuple[FakePeer, str]:
    peer = FakePeer(role=VIEWER)
    response = await http.post("/whep/whip", content=await peer.offer(), headers=SDP | headers)
    assert response.status_code == 201, response.text
    await peer.accept(response.text)
    return peer, response.headers["location"]


def test_ffmpeg_drives_a_puppet_that_three_watch(clip: Path, tmp_path: Path) -> None:
    token = {"authorization": "Bearer secret"}

    async def look(url: str) -> tuple[dict[str, float], list[int]]:
        async with httpx.AsyncClient(base_url=url) as http:
            watching = [await watch(http, token) for _ in range(3)]
            for peer, _ in watching:
                seen: set[int] = set()
                while len(seen) < 10:
                    seen.add(await peer.number())
            lines = (await http.get("/metrics")).text.splitlines()
            figures = {
                name: float(value) for name, _, value in (line.partition(" ") for line in lines) if value[:1].isdigit()
            }
            left = [(await http.delete(location, headers=token)).status_code for _, location in watching]
            for peer, _ in watching:
                await peer.close()
        return figures, left

    with serving(whip_token="secret") as url:
        with streaming(f"{url}/whip", clip, tmp_path, authorization="secret"):
            figures, left = asyncio.run(look(url))
        assert left == [200, 200, 200]
        assert (figures["puppet_viewers"], figures["puppet_encoders"], figures["puppet_sessions"]) == (3, 1, 1)
        assert httpx.get(f"{url}/health").json()["sessions"] == 0  # FFmpeg's DELETE at its end


def test_ffmpeg_with_a_wrong_token_gives_up(clip: Path, tmp_path: Path) -> None:
    with serving(whip_token="secret") as url, streaming(f"{url}/whip", clip, tmp_path, authorization="no") as process:
        assert process.wait(PATIENCE) != 0
        assert httpx.get(f"{url}/health").json()["sessions"] == 0
