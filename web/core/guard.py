"""Who may send requests: one ASGI middleware before every route, including Gradio's."""

import base64
import binascii
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.core.settings import Settings

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
STREAMS = ("/whip", "/whep")
BASIC = 'Basic realm="Portrait puppet", charset="UTF-8"'
BEARER = 'Bearer realm="Portrait puppet"'

# Gradio needs inline scripts and evaluates js_on_load. Everything else comes from this server.
CONTENT_POLICY = (
    "default-src 'self' blob: data:; script-src 'self' blob: 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'; base-uri 'self'; object-src 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
}


class Guard:
    """Refuses foreign hosts (DNS rebinding), foreign origins (cross-site requests) and wrong passwords."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._password = settings.password
        self._token = settings.whip_token
        self._origins = frozenset(settings.origins)
        self._hosts = LOOPBACK_HOSTS | {settings.host.lower()} if settings.local else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        answer = self._refusal(scope["method"], scope["path"], Headers(scope=scope)) or self._app
        await answer(scope, receive, _with_security_headers(send))

    def _refusal(self, method: str, path: str, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return _refuse(421, "This server answers only to 127.0.0.1 and localhost; open it at that address.")
        origin = headers.get("origin")
        if method not in READING and origin is not None and not self._trusts(origin, host):
            return _refuse(403, "This request comes from another site; allow it with --allow-origin if you trust it.")
        return self._challenge(path, headers.get("authorization", ""))

    def _challenge(self, path: str, authorization: str) -> Response | None:
        """Ask for the password, or on the paths of streams and viewers also for the token (RFC 9725, 4.7)."""
        password, token = self._password, self._token if path.startswith(STREAMS) else None
        if password is None and token is None:
            return None
        if password is not None and _knows(password, authorization):
            return None
        if token is not None and _bears(token, authorization):
            return None
        schemes = [scheme for scheme, secret in ((BEARER, token), (BASIC, password)) if secret is not None]
        needed = (
            "A password is needed; any user name will do."
            if token is None
            else "A bearer token is needed, the one in --whip-token."
        )
        return _refuse(401, needed, {"www-authenticate": ", ".join(schemes)})

    def _trusts(self, origin: str, host: str) -> bool:
        origin = origin.lower()
        return origin in self._origins or origin.partition("://")[2] == host.lower() != ""


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _knows(password: str, authorization: str) -> bool:
    """Check the password in constant time (RFC 7617); any user name will do."""
    scheme, _, credentials = authorization.partition(" ")
    try:
        _, _, given = base64.b64decode(credentials, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return False
    return scheme.lower() == "basic" and secrets.compare_digest(given, password.encode())


def _bears(token: str, authorization: str) -> bool:
    """Check the bearer token in constant time (RFC 6750, 2.1)."""
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode("latin-1"), token.encode())


def _refuse(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status, headers)


def _with_security_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(SECURITY_HEADERS)
            headers.setdefault("cache-control", "no-cache")
        await send(message)

    return wrapped
