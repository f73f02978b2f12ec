"""Which session each open page has, so that it ends with the page even if the page's own request is lost."""

from __future__ import annotations

import contextlib

from realtime.sessions import Sessions, UnknownSession


class Pages:
    """The session's id of each page, by the hash that Gradio gives it. Used on the event loop."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._ids: dict[str, str] = {}

    def began(self, page: str, id: str) -> None:
        """Remember the newest session of a page; an earlier one has ended or soon will."""
        self._ids[page] = id

    async def left(self, page: str) -> None:
        """End the session of a page that was closed."""
        id = self._ids.pop(page, None)
        if id is not None:
            with contextlib.suppress(UnknownSession):
                await self._sessions.close(id)
