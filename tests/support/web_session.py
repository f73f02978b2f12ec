"""A session over HTTP on loopback with a peer that drives it, in the test's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.support.fakes import LOOPBACK, FakePeer
from tests.support.web_app import URL, application
from web.core.settings import Settings
from web.services.engine import Engine


@asynccontextmanager
async def connected(engine: Engine, **settings: Any) -> AsyncIterator[tuple[httpx.AsyncClient, str, FakePeer]]:
    """Start a session; yield an HTTP client, the session's path and its peer, which has received a picture."""
    app, peer = application(Settings(media=LOOPBACK, **settings), engine), FakePeer()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL) as web,
    ):
        try:
            headers = {"content-type": "application/sdp"}
            opened = await web.post("/session", content=await peer.offer(), headers=headers)
            await peer.accept(opened.text)
            await peer.picture()
            yield web, opened.headers["location"], peer
        finally:
            await peer.close()


async def recorded(web: httpx.AsyncClient, session: str, seconds: float = 0.5) -> dict[str, Any]:
    """Wait until `seconds` are recorded; return the recording's statistics."""
    while (report := (await web.get(f"{session}/stats")).json()["recording"])["seconds"] < seconds:
        await asyncio.sleep(0.02)
    return dict(report)
