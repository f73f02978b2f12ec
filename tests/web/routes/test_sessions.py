import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from starlette.testclient import TestClient

from pipeline.core.options import AnimateOptions
from pipeline.imaging.source_picture import MAX_BYTES
from realtime.sessions import Sessions
from tests.support.fakes import offer_of
from tests.support.web_app import BAD_OFFERS, SDP, client, picture_file
from web import __version__
from web.core.requests import MAX_TEXT

FRAGMENT = {"content-type": "application/trickle-ice-sdpfrag"}
UNKNOWN = "no-such-session"


@pytest.fixture(scope="module")
def offer() -> str:
    return asyncio.run(offer_of())


@pytest.fixture(scope="module")
def web() -> Iterator[TestClient]:
    with client(max_sessions=2) as opened:
        yield opened


@pytest.fixture
def session(web: TestClient, offer: str) -> Iterator[str]:
    """The path of an open session."""
    location = web.post("/session", content=offer, headers=SDP).headers["location"]
    yield location
    web.delete(location)


def sentence(response) -> str:
    """The detail of a refusal, which must be a sentence and nothing else."""
    assert 400 <= response.status_code < 504 and response.status_code != 500
    assert list(response.json()) == ["detail"]
    detail = response.json()["detail"]
    assert detail.endswith(".") and "Traceback" not in detail
    return detail


def test_health(web):
    assert web.get("/health").json() == {
        "status": "ok",
        "version": __version__,
        "animator": {"name": "fake", "reason": "a test asked for it"},
        "device": "cpu",
        "sessions": 0,
        "max_sessions": 2,
    }


def test_a_session_is_opened_and_closed(web, offer):
    response = web.post("/session", content=offer, headers=SDP)
    assert response.status_code == 201
    assert response.headers["content-type"].startswith("application/sdp")
    assert response.text.startswith("v=0") and "a=recvonly" not in response.text
    location = response.headers["location"]
    assert location.startswith("/session/") and len(location.removeprefix("/session/")) >= 22  # 128 bits in base64
    assert web.get("/health").json()["sessions"] == 1
    assert web.delete(location).status_code == 200
    assert web.get("/health").json()["sessions"] == 0
    assert web.delete(location).status_code == 404


def test_the_beacon_closes_too(web, offer):
    location = web.post("/session", content=offer, headers=SDP).headers["location"]
    assert web.post(f"{location}/close", content="").status_code == 200
    assert web.get("/health").json()["sessions"] == 0


def test_sessions_have_different_ids(web, offer):
    locations = [web.post("/session", content=offer, headers=SDP).headers["location"] for _ in range(2)]
    full = web.post("/session", content=offer, headers=SDP)
    assert full.status_code == 503 and int(full.headers["retry-after"]) > 0
    assert "2 sessions" in sentence(full)
    assert len(set(locations)) == 2
    for location in locations:
        web.delete(location)


def test_a_session_starts_with_the_chosen_portrait(web, offer):
    location = web.post("/session?portrait=light", content=offer, headers=SDP).headers["location"]
    sessions: Sessions = web.app.state.sessions
    assert sessions.get(location.removeprefix("/session/"))._render_loop.portrait.picture.max() == 200
    web.delete(location)
    assert web.post("/session?portrait=nobody", content=offer, headers=SDP).status_code == 404
    assert web.get("/health").json()["sessions"] == 0


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    BAD_OFFERS,
)
def test_bad_offers(web, body, headers, status):
    response = web.post("/session", content=body, headers=headers)
    assert response.status_code == status
    sentence(response)
    assert web.get("/health").json()["sessions"] == 0


def test_reading_stops_at_the_limit(web):
    taken = []

    def endless():
        for _ in range(1000):
            taken.append(1)
            yield b"v" * 10_000

    assert web.post("/session", content=endless(), headers=SDP).status_code == 413


def test_a_lying_length_is_no_way_around(web, session):
    for length in ("-1", "1e9", "99999999999999999999", "x"):
        response = web.put(f"{session}/portrait", content=b"", headers={"content-length": length})
        assert 400 <= response.status_code < 500


def test_trickle(web, session):
    candidate = "a=mid:0\r\na=candidate:1 1 udp 2113937151 127.0.0.1 50000 typ host\r\n"
    assert web.patch(session, content=candidate, headers=FRAGMENT).status_code == 204
    assert web.patch(session, content="nonsense", headers=FRAGMENT).status_code == 204
    assert web.patch(session, content=candidate, headers=SDP).status_code == 415
    assert web.patch(session, content="a" * (MAX_TEXT + 1), headers=FRAGMENT).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "request_"),
    [
        ("DELETE", "", {}),
        ("PATCH", "", {"content": "", "headers": FRAGMENT}),
        ("PUT", "/portrait", {"content": picture_file(90)}),
        ("PATCH", "/options", {"json": {}}),
        ("POST", "/calibrate", {}),
        ("POST", "/close", {}),
        ("GET", "/stats", {}),
    ],
)
def test_unknown_sessions(web, method, path, request_):
    response = web.request(method, f"/session/{UNKNOWN}{path}", **request_)
    assert response.status_code == 404
    assert "no such session" in sentence(response)


def test_options_answer_with_all(web, session):
    response = web.patch(f"{session}/options", json={"mouth": 1.5, "mirror": True})
    assert response.status_code == 200
    assert response.json() == {**vars(AnimateOptions()), "mouth": 1.5, "mirror": True}
    assert web.patch(f"{session}/options", json={}).json()["mouth"] == 1.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mouth": 3}, ("mouth", "0.0 to 2.0")),
        ({"mouth": "wide"}, ("mouth", "0.0 to 2.0")),
        ({"mouth": None}, ("mouth", "0.0 to 2.0")),
        ({"mirror": 1}, ("mirror", "true or false")),
        ({"nose": 1}, ("nose", "smoothing")),
    ],
)
def test_bad_options_name_the_field_and_its_range(web, session, options, words):
    response = web.patch(f"{session}/options", json={"head": 0.5, **options})
    assert response.status_code == 422
    detail = sentence(response)
    assert all(word in detail for word in words)
    assert web.patch(f"{session}/options", json={}).json()["head"] == 1.0  # all or nothing


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", "NaN", '{"mouth": NaN}', "[" * 60_000, '{"mouth": 1e999}', b"\xff"]
)
def test_malformed_json(web, session, body):
    response = web.patch(f"{session}/options", content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    sentence(response)


def test_json_needs_its_content_type(web, session):
    assert web.patch(f"{session}/options", content="{}").status_code == 415
    assert web.patch(f"{session}/options", content="{}", headers={"content-type": "text/plain"}).status_code == 415


def test_calibrate_and_stats(web, session):
    assert web.post(f"{session}/calibrate").status_code == 200
    stats = web.get(f"{session}/stats").json()
    about = [
        "state",
        "animator",
        "rate",
        "hint",
        "frozen",
        "target_mbps",
        "viewers",
        "audio",
        "virtual_camera",
        "recording",
    ]
    assert list(stats) == [*about, "fps", "frames", "drops", "stages_ms", "page", "warnings"]
    assert (stats["state"], stats["animator"]) == ("connecting", "fake")
    assert set(stats["frames"]) == {"received", "animated", "sent", "dropped"}
    assert set(stats["stages_ms"]) == {"decode", "wait", "track", "motion", "animate", "encode", "server"}
    assert all(set(stage) == {"p50", "p95", "p99"} for stage in stats["stages_ms"].values())


def shown(web: TestClient, session: str) -> int:
    """The gray level of the session's portrait."""
    return int(web.app.state.sessions.get(session.removeprefix("/session/"))._render_loop.portrait.picture.max())


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_a_portrait_is_told_by_its_content(web, session, suffix):
    response = web.put(f"{session}/portrait", content=picture_file(150, suffix), headers={"content-type": "text/plain"})
    assert (response.status_code, response.json()) == (200, {"warnings": []})
    assert abs(shown(web, session) - 150) <= 3


def test_a_portrait_may_come_with_warnings(web, session):
    assert web.put(f"{session}/portrait", content=picture_file(255)).json() == {"warnings": ["It is very white."]}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 415),
        (b"GIF89a but not really", 415),
        (picture_file(90)[:60], 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        (b"\0" * (MAX_BYTES + 1), 413),
        (picture_file(0), 422),
    ],
)
def test_a_bad_portrait_leaves_the_old_one(web, session, body, status):
    web.put(f"{session}/portrait", content=picture_file(200))
    response = web.put(f"{session}/portrait", content=body)
    assert response.status_code == status
    sentence(response)
    assert shown(web, session) == 200


def test_too_many_pixels(web, session):
    bomb = bytearray(picture_file(90))
    bomb[16:24] = np.array([30_000, 30_000], ">u4").tobytes()  # the size in the PNG header
    assert web.put(f"{session}/portrait", content=bytes(bomb)).status_code in (413, 415)


def test_a_portrait_is_made_ready_before_it_is_shown(web, session):
    added = web.post("/portraits", content=picture_file(120)).json()
    assert added["warnings"] == []
    rest = web.get(f"/portraits/{added['id']}")
    assert rest.headers["content-type"] == "image/jpeg" and rest.content.startswith(b"\xff\xd8")
    assert web.put(f"{session}/portrait", json={"id": added["id"]}).json() == {"warnings": []}
    assert shown(web, session) == 120


def test_unknown_portraits(web, session):
    assert web.get("/portraits/nobody").status_code == 404
    assert web.put(f"{session}/portrait", json={"id": "nobody"}).status_code == 404
    for chosen in ({}, {"id": None}, {"id": ["gray"]}):
        response = web.put(f"{session}/portrait", json=chosen)
        assert response.status_code == 422 and sentence(response).startswith("'id'")
    assert web.post("/portraits", content=picture_file(0)).status_code == 422


def test_freeze_and_options(web, session):
    assert web.put(f"{session}/freeze", json={"on": True}).json() == {"on": True}
    assert web.get(f"{session}/stats").json()["frozen"] is True
    assert "'on' must be" in sentence(web.put(f"{session}/freeze", json={"on": "yes"}))
    assert web.patch(f"{session}/options", json={"head": 0.5}).status_code == 200
    told = web.get(f"{session}/options").json()
    assert (told["head"], told["background"]) == (0.5, "keep")
    assert web.get("/session/nobody/options").status_code == 404


def test_the_output_page_is_there_for_every_session(web):
    page = web.get("/view/whip")
    assert page.status_code == 200 and "../client/output/output.js" in page.text and "<button" not in page.text
    assert web.get("/client/output/output.js").status_code == web.get("/client/shared/whep.js").status_code == 200
