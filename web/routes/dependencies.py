"""What routes ask FastAPI for: the application's shared objects, and the session that a path names."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from realtime.session import Session
from realtime.sessions import Sessions
from web.core.settings import Settings
from web.services.demo_clip import DemoClip
from web.services.engine import Engine
from web.services.job_queue import Jobs
from web.services.page_sessions import Pages
from web.services.portraits import Portraits
from web.services.recordings import Recordings


def _shared(name: str) -> Any:
    async def read(request: Request) -> Any:  # async: FastAPI would run another function in a thread
        return getattr(request.app.state, name)

    return Depends(read)


SettingsDep = Annotated[Settings, _shared("settings")]
EngineDep = Annotated[Engine, _shared("engine")]
SessionsDep = Annotated[Sessions, _shared("sessions")]
PagesDep = Annotated[Pages, _shared("pages")]
RegistryDep = Annotated[CollectorRegistry, _shared("registry")]
DemoClipDep = Annotated[DemoClip, _shared("demo_clip")]
RecordingsDep = Annotated[Recordings, _shared("recordings")]
JobsDep = Annotated[Jobs, _shared("jobs")]


async def _portraits(engine: EngineDep) -> Portraits:
    return engine.portraits


async def _session(id: str, sessions: SessionsDep) -> Session:
    return sessions.get(id)


PortraitsDep = Annotated[Portraits, Depends(_portraits)]
SessionDep = Annotated[Session, Depends(_session)]
"""The session whose id is in the path; 404 if there is none."""
