"""The whole server as one ASGI application."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.staticfiles import StaticFiles

from pipeline.models.store import cache_folder
from realtime.session import SessionContext
from realtime.sessions import Sessions
from realtime.webrtc.aiortc_patches import self_check
from realtime.webrtc.port_mux import one_port
from realtime.webrtc.settings import MediaSettings
from web import panel
from web.core.guard import Guard
from web.core.program import STATIC
from web.core.settings import Settings
from web.routes import errors, jobs, metrics, outputs, pages, portraits, sessions, whip
from web.services.demo_clip import DemoClip
from web.services.engine import Engine
from web.services.job_queue import Jobs
from web.services.recordings import Recordings

logger = logging.getLogger(__name__)

ROUTES = (sessions, portraits, whip, metrics, outputs, jobs, pages)


def create_app(settings: Settings, engine: Engine, *routers: APIRouter) -> FastAPI:
    """Return the application: the guard first, then our routes and `routers`, then Gradio's panel at "/".

    When it ends, it closes every session.
    """
    # No generated documentation, because its page loads scripts from a public host.
    app = FastAPI(lifespan=_live, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.settings = settings
    app.state.engine = engine
    first = engine.portraits.first.portrait
    context = SessionContext(engine.loaded.animator, engine.new_tracker, first, settings.media)
    app.state.sessions = Sessions(context, settings.max_sessions)
    app.state.page_sessions = {}
    app.state.demo_clip = DemoClip(cache_folder())
    app.state.recordings = Recordings.of(settings)
    app.state.jobs = Jobs()
    app.add_middleware(Guard, settings=settings)
    _allow_origins(app, settings.origins)
    errors.add_answers(app)
    for router in (*(module.router for module in ROUTES), *routers):
        app.include_router(router)
    app.mount("/client", StaticFiles(directory=STATIC))
    panel.mount(app, settings, engine)
    return app


@asynccontextmanager
async def _live(app: FastAPI) -> AsyncIterator[None]:
    media: MediaSettings = app.state.settings.media
    for warning in await self_check(media):
        logger.warning(warning)
    async with one_port(media):
        try:
            yield
        finally:
            await app.state.sessions.close_all()
            await app.state.jobs.close()
            app.state.engine.close()


def _allow_origins(app: FastAPI, origins: tuple[str, ...]) -> None:
    """Allow these origins; needed without any, too, because Gradio else adds a more generous middleware."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["*"],
        allow_headers=["authorization", "content-type", "if-match"],
        expose_headers=["accept-patch", "etag", "link", "location", "retry-after"],
        allow_credentials=True,
    )
