"""Which sessions each open page began, so that they end with it even where its own farewell is lost."""

from __future__ import annotations

import contextlib

from realtime.sessions import Sessions, UnknownSession


class Pages:
    """Open pages by the hash that Gradio gives each, and their sessions' ids. Used on the event loop."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._ids: dict[str, str] = {}

    def began(self, page: str, id: str) -> None:
        """The newest session of a page; an earlier one has ended or soon will."""
        self._ids[page] = id

    async def left(self, page: str) -> None:
        """The page is gone: end what is left of it."""
        id = self._ids.pop(page, None)
        if id is not None:
            with contextlib.suppress(UnknownSession):
                await self._sessions.close(id)
