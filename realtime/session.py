"""One user: the driver's frames in, the puppet's packets out. Read this first.

The way of a frame:

1. The network: `webrtc/peer.py` receives it, a thread of aiortc decodes it, and `Session.drive` gets it.
2. The inbox, a `LatestSlot`: only the newest frame waits there. A new frame replaces one that was not taken yet, so
   latency stays bounded however slow the machine is.
3. The session's own thread: `RenderLoop._render` (render_loop.py) tracks the face, reads its motion, animates the
   portrait, encodes the picture, and delivers it to all peers (`webrtc/broadcast.py`) and outputs (`endpoints/`).
4. The network again: when the picture's packet leaves, `Session._on_sent` is called.

1 and 4 are on the event loop, which moves packets and messages and touches no pixels.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import av

from pipeline.core.animator import Animator, Portrait
from pipeline.core.options import AnimateOptions
from pipeline.face.tracker import FaceTracker
from realtime import control
from realtime.core.frame import Frame, Reception, Trace
from realtime.driver.presence import Absence, Presence
from realtime.endpoints.output import Output, OutputName
from realtime.metrics.session_stats import SessionStats
from realtime.render_loop import RenderLoop
from realtime.telemetry import State, Telemetry
from realtime.voice import Voice
from realtime.webrtc.broadcast import Broadcast
from realtime.webrtc.peer import Listener, Peer
from realtime.webrtc.sdp import PUPPETEER, Role
from realtime.webrtc.settings import MediaSettings
from realtime.webrtc.viewers import Viewers

OPTIONS = frozenset({"size"})  # that every session has, whatever its animator
Reason = Absence | Literal["asked to", "hung up", "refused", "failed", "server ended"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SessionContext:
    """What all sessions share."""

    animator: Animator
    new_tracker: Callable[[], FaceTracker]  # called in the thread of each session
    portrait: Portrait  # the first one of a session
    media: MediaSettings


class Session:
    """One user's puppet. Made and used on the event loop."""

    def __init__(self, context: SessionContext, on_end: Callable[[], None]) -> None:
        """Call `on_end` to ask the owner to close the session."""
        self.id = secrets.token_urlsafe(16)
        self.role: Role | None = None  # the driver's; None for a local camera
        self._context = context
        self._on_end = on_end
        self._stats = SessionStats()
        self._broadcast = Broadcast()
        self._render_loop = RenderLoop(context.animator, context.portrait, self._stats, self._broadcast, self._on_sent)
        self._voice = Voice(self._broadcast.send_voice, lambda: self._render_loop.outputs)
        self.viewers = Viewers(self._broadcast, context.media)
        parts = self._render_loop, self._broadcast, self.viewers, self._voice, self._stats
        self.telemetry = Telemetry(context.animator, lambda: self.state, *parts)
        self._peer: Peer | None = None
        self._presence = Presence(self.request_close)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name=f"session-{self.id[:6]}")
        self._thread_ended = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self.reason: Reason | None = None  # why it ended; None while it lives

    # From begin to end.

    async def open(self, offer: str, role: Role = PUPPETEER) -> str:
        """Answer the SDP `offer` of a driver and begin. Raise BadOffer if it cannot be answered."""
        hung_up = partial(self.request_close, "hung up")
        self.role = role
        listener = Listener(self.drive, self._on_message, hung_up, self._on_report, on_voice=self._voice.on_packet)
        self._peer = peer = Peer(self._context.media, listener, role)
        answer = await peer.answer(offer)
        self.telemetry.rtp_timestamp = peer.timestamp
        for warning in peer.warnings:
            self._stats.warn(warning, warning)
        if role is PUPPETEER:
            self._broadcast.codec = peer.codec
            self._broadcast.add(peer)
        self._thread.start()
        self._presence.begin(lambda: peer.connected)
        return answer

    def open_here(self) -> None:
        """Begin without a peer: the caller passes the driver's frames to `drive`, and closes the session."""
        self._thread.start()

    async def add_candidates(self, fragment: str) -> None:
        """Add the driver's ICE candidates of an SDP fragment (trickle-ice-sdpfrag, RFC 8840)."""
        if self._peer:
            await self._peer.add_candidates(fragment)

    def request_close(self, reason: Reason) -> None:
        """Ask the owner to close the session. Only the first reason counts."""
        self.reason = self.reason or reason
        self._on_end()

    async def close(self) -> None:
        """End the session, and return when nothing of it is left. May be called more than once."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._presence.end()
        self._render_loop.inbox.close()
        await self.viewers.close()
        if self._peer:
            await self._peer.close()
        if self._thread.ident is not None:
            await self._thread_ended.wait()
            self._thread.join()
        for output in self._render_loop.outputs:
            await output.close()

    @property
    def state(self) -> State:
        """Whether the portrait follows its driver, and if not, why."""
        return "idle" if self._closing else self._render_loop.state

    # What the user sets: each applies from the next picture on.

    @property
    def options(self) -> AnimateOptions:
        return self._render_loop.options

    def set_options(self, changes: Mapping[str, Any]) -> AnimateOptions:
        """Change some options, and return all. Raise OptionError if one does not fit."""
        self._render_loop.options = self._render_loop.options.changed(changes)
        return self._render_loop.options

    def set_portrait(self, portrait: Portrait) -> None:
        """Animate `portrait`."""
        self._render_loop.portrait = portrait

    def calibrate(self) -> None:
        """Take the driver's next moments as the neutral."""
        self._render_loop.calibration_wanted = True

    def freeze(self, on: bool) -> None:
        """Freeze the portrait as it is, or let it follow its driver again."""
        self._render_loop.freeze.wanted = on

    def output(self, name: OutputName) -> Output | None:
        """Return the output of this name, if there is one."""
        return next((output for output in self._render_loop.outputs if output.name == name), None)

    def add_output(self, output: Output) -> None:
        """Show the pictures in `output`, too."""
        self._render_loop.outputs += (output,)

    async def remove_output(self, output: Output) -> None:
        """Close `output`. A picture that is on its way may still be shown there."""
        self._render_loop.outputs = tuple(each for each in self._render_loop.outputs if each is not output)
        await output.close()

    @property
    def receives_voice(self) -> bool:
        """Whether its driver may speak, now or later."""
        return self._peer is not None and self._peer.receives_voice

    # What comes from the driver, and what leaves.

    def drive(self, video: av.VideoFrame) -> None:
        """Take the driver's next frame."""
        now = self._presence.touch()
        self._stats.record_received(now)
        unknown = Reception(None, arrived=now, released=now)
        self._render_loop.inbox.put(Frame(video, now, cast(Reception, video.opaque or unknown)))

    def _on_message(self, message: str) -> str:
        self._presence.touch()
        return control.reply(message, self, self.telemetry)

    def _on_report(self, timestamp: int) -> None:
        self.telemetry.capture_clock.report(timestamp, time.monotonic())

    def _on_sent(self, size: int, trace: Trace | None) -> None:
        self.telemetry.record_sent(size, trace)

    # The session's thread.

    def _run(self) -> None:
        try:
            self._render_loop.run(self._context.new_tracker())
        except Exception:
            logger.exception("A session's thread failed.")
            self._loop.call_soon_threadsafe(self.request_close, "failed")
        finally:
            self._loop.call_soon_threadsafe(self._thread_ended.set)
