"""GET /health: whether the server runs, and with what."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from web import __version__
from web.routes.dependencies import EngineDep, SessionsDep, SettingsDep

router = APIRouter()


@router.get("/health")
async def health(engine: EngineDep, sessions: SessionsDep, settings: SettingsDep) -> dict[str, Any]:
    """Answer with the version, the animator and why it was chosen, its device, and how many sessions there are."""
    return {
        "status": "ok",
        "version": __version__,
        "animator": {"name": engine.loaded.animator.name, "reason": engine.loaded.reason},
        "device": engine.loaded.device,
        "sessions": len(sessions),
        "max_sessions": settings.max_sessions,
    }
