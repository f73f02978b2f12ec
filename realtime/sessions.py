"""The register of all sessions: it limits their number, and keeps the counts of those that ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from logging import DEBUG, INFO

from pipeline.core.animator import Portrait
from realtime.metrics.counters import Counters, total
from realtime.metrics.event_log import log_event
from realtime.session import Session, SessionContext
from realtime.webrtc.ice import NoPort
from realtime.webrtc.sdp import DRIVER, PUPPETEER, Role

RETRY_SECONDS = 5  # after which a refused client may try again
NEWEST = "whip"  # in place of an id: the newest session that a stream drives (WHIP)


class SessionsFull(RuntimeError):
    """No session, or no port for one, is free; try again after RETRY_SECONDS."""


class UnknownSession(KeyError):
    """There is no session of this id, or it has ended."""

    def __str__(self) -> str:
        return "There is no such session; it may have ended. Start a new one."


class Sessions:
    """At most `limit` sessions; each ends by itself when its peer is gone. For one event loop."""

    def __init__(self, context: SessionContext, limit: int = 4) -> None:
        self._context = context
        self._limit = limit
        self._sessions: dict[str, Session] = {}
        self._closing: set[Session] = set()
        self._ended = Counters()
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    async def open(self, offer: str, portrait: Portrait | None = None, role: Role = PUPPETEER) -> tuple[Session, str]:
        """Return a new session and the SDP answer to `offer`. Raise SessionsFull, or BadOffer if there is no answer."""
        try:
            opened = await self._open(offer, portrait, role)
        except Exception as error:
            self._ended.errors[type(error).__name__] += 1
            log_event("offer refused", DEBUG, kind=type(error).__name__)
            raise
        log_event("session began", DEBUG, sessions=len(self))
        return opened

    async def _open(self, offer: str, portrait: Portrait | None, role: Role) -> tuple[Session, str]:
        if len(self) >= self._limit:
            raise SessionsFull(f"All {self._limit} sessions are in use; close one, or try again in a few seconds.")
        context = replace(self._context, portrait=portrait) if portrait else self._context
        session = Session(context, lambda: self._end(session))
        self._sessions[session.id] = session
        try:
            return session, await session.open(offer, role)
        except NoPort as error:
            session.request_close("refused")
            raise SessionsFull(str(error)) from error
        except BaseException:
            session.request_close("refused")
            raise

    def get(self, id: str) -> Session:
        """Return the session of this id (or NEWEST). Raise UnknownSession if there is none."""
        session = self._newest() if id == NEWEST else self._sessions.get(id)
        if session is None:
            raise UnknownSession(id)
        return session

    async def close(self, id: str) -> None:
        """End the session of this id, and return when nothing of it is left. Raise UnknownSession if there is none."""
        session = self.get(id)
        session.request_close("asked to")
        await session.close()

    def counters(self) -> Counters:
        """Return the counts of all sessions so far, also of those that ended."""
        return total([self._ended, *(session.telemetry.counters() for session in (*self, *self._closing))])

    async def close_all(self) -> None:
        """End every session, and return when nothing of them is left."""
        for session in self:
            session.request_close("server ended")
        await asyncio.gather(*self._ending)

    def _newest(self) -> Session | None:
        return next((session for session in reversed(self._sessions.values()) if session.role is DRIVER), None)

    def _end(self, session: Session) -> None:
        if self._sessions.pop(session.id, None) is not None:
            self._closing.add(session)
            task = asyncio.create_task(self._finish(session))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _finish(self, session: Session) -> None:
        await session.close()
        summary = session.telemetry.summary(session.reason)
        self._closing.discard(session)
        self._ended += session.telemetry.counters()
        self._ended.sessions_ended[str(summary["reason"])] += 1
        log_event("session ended", INFO, **summary)
