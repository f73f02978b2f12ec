"""What routes ask FastAPI for: the application's shared objects, and the session that a path names."""

from typing import Annotated, Any

from fastapi import Depends, Request

from realtime.session import Session
from realtime.sessions import Sessions
from web.core.settings import Settings
from web.services.demo_clip import DemoClip
from web.services.engine import Engine
from web.services.job_queue import Jobs
from web.services.portraits import Portraits
from web.services.recordings import Recordings


def shared(name: str) -> Any:
    """Return a dependency on what the application keeps under this name in its state."""

    async def read(request: Request) -> Any:  # async: FastAPI would run another function in a thread
        return getattr(request.app.state, name)

    return Depends(read)


SettingsDep = Annotated[Settings, shared("settings")]
EngineDep = Annotated[Engine, shared("engine")]
SessionsDep = Annotated[Sessions, shared("sessions")]
PageSessionsDep = Annotated[dict[str, str], shared("page_sessions")]
"""Which session each open page has, by the hash that Gradio gives the page."""
DemoClipDep = Annotated[DemoClip, shared("demo_clip")]
RecordingsDep = Annotated[Recordings, shared("recordings")]
JobsDep = Annotated[Jobs, shared("jobs")]


async def _portraits(engine: EngineDep) -> Portraits:
    return engine.portraits


async def _session(id: str, sessions: SessionsDep) -> Session:
    return sessions.get(id)


PortraitsDep = Annotated[Portraits, Depends(_portraits)]
SessionDep = Annotated[Session, Depends(_session)]
"""The session whose id is in the path; 404 if there is none."""
