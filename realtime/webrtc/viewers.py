"""Peers that only watch a session (WHEP). Each has its own connection, and all get the same packets."""

from __future__ import annotations

import asyncio
import secrets

from realtime.driver.presence import CONNECT_SECONDS
from realtime.webrtc.broadcast import Broadcast
from realtime.webrtc.peer import Listener, Peer
from realtime.webrtc.sdp import VIEWER
from realtime.webrtc.settings import MediaSettings

MOST = 16  # of one session: each takes time to encrypt and send
ONLY_WATCHING = '{"type": "error", "detail": "A viewer can only watch."}'


class ViewersFull(RuntimeError):
    """The session has as many viewers as it may have."""


class UnknownViewer(KeyError):
    """There is no viewer of this id, or it has left."""

    def __str__(self) -> str:
        return "There is no such viewer; it may have left. Start to watch again."


class Viewers:
    """Admits viewers of one session, and removes those that are gone. For the event loop."""

    def __init__(self, broadcast: Broadcast, media: MediaSettings) -> None:
        self._broadcast = broadcast
        self._media = media
        self._peers: dict[str, Peer] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._peers)

    async def open(self, offer: str) -> tuple[str, str]:
        """Return the id of a new viewer, and the SDP answer to its offer. Raise ViewersFull, BadOffer or NoPort."""
        if len(self) >= MOST:
            raise ViewersFull(f"This session has {MOST} viewers already; try again when one has left.")
        id = secrets.token_urlsafe(16)
        listener = Listener(
            on_frame=lambda video: None,
            on_message=lambda message: ONLY_WATCHING,
            on_end=lambda: self._leave(id),
            on_connected=lambda: self._begin(id),
        )
        peer = self._peers[id] = Peer(self._media, listener, VIEWER, self._broadcast.codec)
        try:
            answer = await peer.answer(offer)
        except BaseException:
            self._leave(id)
            raise
        asyncio.get_running_loop().call_later(CONNECT_SECONDS, self._close_unless_connected, id)
        return id, answer

    def peer(self, id: str) -> Peer:
        """Return the viewer's peer. Raise UnknownViewer if there is none."""
        if id not in self._peers:
            raise UnknownViewer(id)
        return self._peers[id]

    async def close_one(self, id: str) -> None:
        """Close a viewer's connection, and return when it is gone. Raise UnknownViewer if there is none."""
        peer = self.peer(id)
        self._leave(id)
        await peer.close()

    async def close(self) -> None:
        """Close all connections."""
        for id in list(self._peers):
            self._leave(id)
        await asyncio.gather(*self._closing)

    def _begin(self, id: str) -> None:
        if id in self._peers:
            self._broadcast.add(self._peers[id])

    def _close_unless_connected(self, id: str) -> None:
        if id in self._peers and not self._peers[id].connected:
            self._leave(id)

    def _leave(self, id: str) -> None:
        peer = self._peers.pop(id, None)
        if peer:
            self._broadcast.remove(peer)
            task = asyncio.create_task(peer.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
