import base64

import pytest

from tests.support.web_app import URL, client

ELSEWHERE = "https://evil.example"


def basic(password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"me:{password}".encode()).decode()}


@pytest.fixture(scope="module")
def web():
    with client() as opened:
        yield opened


def post(web, **headers: str) -> int:
    """The status of an offer that is refused with 400 where the guard lets it in."""
    return web.post("/session", content="v=0", headers={"content-type": "application/sdp", **headers}).status_code


def test_same_origin_and_no_origin_may_post(web):
    assert post(web) == 400
    assert post(web, origin=URL) == 400
    assert post(web, origin="http://localhost:7860", host="localhost:7860") == 400


@pytest.mark.parametrize(
    "origin", [ELSEWHERE, "null", "", "http://127.0.0.1", "http://127.0.0.1:7861", "http://[", "127.0.0.1:7860"]
)
def test_other_origins_may_not(web, origin):
    assert post(web, origin=origin) == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/session"),
        ("PATCH", "/session/x"),
        ("DELETE", "/session/x"),
        ("PUT", "/session/x/portrait"),
        ("PATCH", "/session/x/options"),
        ("POST", "/session/x/calibrate"),
        ("POST", "/session/x/close"),
        ("POST", "/portraits"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/upload"),
    ],
)
def test_every_changing_route_is_guarded(web, method, path):
    response = web.request(method, path, headers={"origin": ELSEWHERE})
    assert response.status_code == 403 and "another site" in response.json()["detail"]


def test_no_site_elsewhere_may_read(web):
    for path in ("/health", "/", "/config", "/gradio_api/info"):
        assert "access-control-allow-origin" not in web.get(path, headers={"origin": ELSEWHERE}).headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "[", "192.168.0.1"]
)
def test_other_hosts_are_refused_on_loopback(web, host):
    assert web.get("/health", headers={"host": host}).status_code == 421
    assert web.get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:7860"])
def test_loopback_hosts_are_answered(web, host):
    assert web.get("/health", headers={"host": host}).status_code == 200


def test_any_host_where_the_server_is_open_to_others():
    with client(host="0.0.0.0") as web:
        assert web.get("/health", headers={"host": "puppet.example"}).status_code == 200


def test_an_allowed_origin_may_start_sessions():
    with client(allow_origins=("https://Friend.example/",)) as web:
        assert post(web, origin="https://friend.example") == 400
        assert post(web, origin=ELSEWHERE) == 403
        asked = {"origin": "https://friend.example", "access-control-request-method": "POST"}
        allowed = web.options("/session", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://friend.example"


def test_a_password_closes_every_route():
    with client(password="sësame") as web:
        for path in (
            "/",
            "/health",
            "/config",
            "/client/live/main.js",
            "/demo.mp4",
            "/gradio_api/info",
            "/portraits/gray",
        ):
            refused = web.get(path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic ")
        assert post(web) == 401
        assert web.get("/health", headers=basic("sësame")).status_code == 200
        assert post(web, **basic("sësame")) == 400


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !",
        "Basic " + base64.b64encode(b"sesame").decode(),
        "Bearer sesame",
        basic("wrong")["authorization"],
    ],
)
def test_wrong_passwords(authorization):
    with client(password="sesame") as web:
        assert web.get("/health", headers={"authorization": authorization}).status_code == 401


def test_security_headers(web):
    for path in ("/", "/health", "/nothing"):
        headers = web.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'self'" in headers["content-security-policy"]
        assert "http" not in headers["content-security-policy"]
        assert "server" not in headers
