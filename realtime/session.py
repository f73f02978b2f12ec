"""One user: the driver's frames in, the puppet's packets out; and the register of all. See `Session._perform` first.

Two sides meet here. The event loop moves packets and messages and does no work; the session's own thread does the work,
on the newest frame only. What is older is dropped, so latency stays bounded however slow the machine is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol, cast

import av

from pipeline.animator import AnimateOptions, Animator, Cue, DrivingFrame, Picture, Planes, Portrait
from pipeline.face.face import Face
from pipeline.performance import Performance
from realtime import control
from realtime.codec import CLOCK_RATE, Encoder, decoded, new_encoder
from realtime.frame import Frame, Stamps
from realtime.ice import NoPort
from realtime.peer import Listener, Peer
from realtime.settings import MediaSettings
from realtime.slot import LatestSlot
from realtime.stats import SessionStats

CONNECT_SECONDS = 15.0  # from the answer to the connection
SILENCE_SECONDS = 5.0  # without a frame or a message: whoever was there is gone
WATCH_SECONDS = 0.5  # between looks at both
RETRY_SECONDS = 5  # when a refused client may ask again
QUIET_SECONDS = 0.2  # without a frame: from here on the portrait idles
IDLE_SECONDS = 1 / 25  # between idle pictures
SEARCH_SECONDS = 1.0  # the first face may take this long before "lost" is said
KEYFRAME_SECONDS = 2.0  # between keyframes where requests for them cannot be heard

State = Literal["idle", "connecting", "live", "lost", "error"]

logger = logging.getLogger(__name__)


class SessionsFull(RuntimeError):
    """No session, or no port for one, is free; `retry_after` seconds from now one may be."""

    retry_after = RETRY_SECONDS


class UnknownSession(KeyError):
    """There is no session of this id, or no longer."""

    def __str__(self) -> str:
        return "There is no such session; it may have ended. Start a new one."


class Tracker(Protocol):
    """Follows one driver's face. Belongs to the thread that made it."""

    def track(self, picture: Picture, time: float, smoothing: float = ...) -> Face | None:
        """The face in `picture`, seen at `time` (seconds)."""


@dataclass(frozen=True)
class Studio:
    """What every session works with."""

    animator: Animator
    new_tracker: Callable[[], Tracker]
    portrait: Portrait  # the first one of a session
    media: MediaSettings


class Session:
    """One user's puppet. Made and used on the event loop."""

    def __init__(self, studio: Studio, on_end: Callable[[], None]) -> None:
        self.id = secrets.token_urlsafe(16)
        self.options = AnimateOptions()
        self._studio = studio
        self._portrait = studio.portrait
        self._performance = Performance()
        self._calibration_wanted = False
        self._failing = False
        self._on_end = on_end
        self._inbox: LatestSlot[Frame] = LatestSlot()
        self._stats = SessionStats()
        self._loop = asyncio.get_running_loop()
        self._peer = Peer(studio.media, Listener(self._on_frame, self._on_message, on_end))
        self._thread = threading.Thread(target=self._run, name=f"session-{self.id[:6]}")
        self._thread_ended = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._start = self._heard = self._keyframe = time.monotonic()

    async def open(self, offer: str) -> str:
        """Answer the SDP `offer`, and go on by itself from there. BadOffer where it cannot be answered."""
        answer = await self._peer.answer(offer)
        for warning in self._peer.warnings:
            self._stats.warn(warning, warning)
        self._thread.start()
        self._watch = asyncio.create_task(self._watch_over())
        return answer

    async def add_candidates(self, fragment: str) -> None:
        """Add the peer's ICE candidates of an SDP fragment (trickle-ice-sdpfrag, RFC 8840)."""
        await self._peer.add_candidates(fragment)

    def set_portrait(self, portrait: Portrait) -> None:
        """Animate `portrait` from the next picture on."""
        self._portrait = portrait

    def set_options(self, changes: Mapping[str, Any]) -> AnimateOptions:
        """Change some options from the next picture on, and return all. OptionError where one does not fit."""
        self.options = self.options.changed(changes)
        return self.options

    def calibrate(self) -> None:
        """Take the driver's next moments as the neutral."""
        self._calibration_wanted = True

    @property
    def state(self) -> State:
        """In the page's words. lost: no face, or no frames. error: pictures fail, so the portrait at rest is shown."""
        if self._closing is not None:
            return "idle"
        if self._failing:
            return "error"
        match self._performance.state:
            case "calibrating" | "live":
                return "live"
            case "waiting" if not self._searched_long():
                return "connecting"
        return "lost"

    def stats(self) -> dict[str, Any]:
        """The numbers of GET /session/{id}/stats; stage times in milliseconds."""
        report = self._stats.report(time.monotonic(), self._inbox.dropped)
        return {"state": self.state, "animator": self._studio.animator.name, **report}

    async def close(self) -> None:
        """End it, and return when nothing of it is left. May be called more than once."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._inbox.close()
        await self._peer.close()
        if self._thread.ident is not None:
            await self._thread_ended.wait()
            self._thread.join()

    async def _watch_over(self) -> None:
        """End the session when nobody connects, or nobody is there any more."""
        opened = time.monotonic()
        while self._somebody_there(opened):
            await asyncio.sleep(WATCH_SECONDS)
        self._on_end()

    def _somebody_there(self, opened: float) -> bool:
        now = time.monotonic()
        if self._peer.connected:
            return now - self._heard < SILENCE_SECONDS
        self._heard = now
        return now - opened < CONNECT_SECONDS

    def _searched_long(self) -> bool:
        first = self._stats.first_frame
        return first is not None and time.monotonic() - first > SEARCH_SECONDS

    def _on_frame(self, video: av.VideoFrame) -> None:
        self._heard = time.monotonic()
        self._stats.receive(self._heard)
        self._inbox.put(Frame(video, decoded=self._heard, decoding=cast(float, video.opaque or 0.0)))

    def _on_message(self, message: str) -> str:
        self._heard = time.monotonic()
        return control.reply(self, message)

    def _on_sent(self, decoded: float | None) -> None:
        now = time.monotonic()
        self._stats.send(now, None if decoded is None else now - decoded)

    # From here on: the session's thread.

    def _run(self) -> None:
        try:
            self._work(self._studio.new_tracker(), new_encoder(self._peer.codec))
        except Exception:
            logger.exception("A session's thread failed.")
            self._loop.call_soon_threadsafe(self._on_end)
        finally:
            self._loop.call_soon_threadsafe(self._thread_ended.set)

    def _work(self, tracker: Tracker, encoder: Encoder) -> None:
        frame = None
        while True:
            frame = self._inbox.take(IDLE_SECONDS if frame is None else QUIET_SECONDS)
            if self._inbox.closed:
                return
            if not self._peer.track.congested:
                self._attempt(frame, tracker, encoder)
            elif frame is not None:
                self._stats.drop()

    def _attempt(self, frame: Frame | None, tracker: Tracker, encoder: Encoder) -> None:
        """Perform `frame`; where that fails, show the portrait at rest and go on."""
        try:
            self._perform(frame, tracker, encoder)
            self._failing = False
        except Exception as error:
            self._fail(error)
            with contextlib.suppress(Exception):  # the first failure was reported
                [shown] = self._studio.animator.animate([Cue(self._portrait, self.options)], "i420")
                self._send(shown, None, encoder)

    def _perform(self, frame: Frame | None, tracker: Tracker, encoder: Encoder) -> None:
        """A frame's way, from the decoder to the sender. Without a frame, the portrait idles."""
        stamps = Stamps(time.monotonic, earlier=frame.decoding if frame else 0.0)
        animator, portrait, options = self._studio.animator, self._portrait, self.options
        picture, motion = None, None
        if frame is not None:
            picture, planes = decoded(frame.video)
            stamps.mark("decode")
            face = tracker.track(picture, stamps.now, options.smoothing)
            stamps.mark("track")
            seen = DrivingFrame(picture, face, stamps.now, self._performance.motion, planes)
            [motion] = animator.read_motion([seen])
        if self._calibration_wanted:
            self._calibration_wanted = False
            self._performance.calibrate()
        cue = self._performance.cue(portrait, options, motion, stamps.now, picture)
        stamps.mark("motion")
        [shown] = animator.animate([cue], "i420")
        stamps.mark("animate")
        self._send(shown, frame, encoder)
        stamps.mark("encode")
        if frame is not None:
            self._stats.animate(stamps.spent)

    def _send(self, shown: Planes, frame: Frame | None, encoder: Encoder) -> None:
        now = time.monotonic()
        pts = int((now - self._start) * CLOCK_RATE)
        packet = encoder.encode(shown, pts, self._peer.bitrate, self._keyframe_due(now))
        self._peer.track.offer(packet, partial(self._on_sent, frame.decoded if frame else None))

    def _keyframe_due(self, now: float) -> bool:
        unheard = not self._peer.hears_feedback and now - self._keyframe > KEYFRAME_SECONDS
        due = self._peer.keyframe_wanted() or unheard
        if due:
            self._keyframe = now
        return due

    def _fail(self, error: Exception) -> None:
        self._failing = True
        sentence = f"A picture failed ({type(error).__name__}: {error}); the portrait at rest was shown."
        if self._stats.warn(type(error).__name__, sentence):
            logger.error("A picture failed.", exc_info=error)


@dataclass(frozen=True, eq=False)
class Opened:
    """A session that began, and the SDP answer for its peer."""

    session: Session
    answer: str


class Sessions:
    """The register of sessions: at most `limit`, each ends by itself when its peer is gone. Used on one event loop."""

    def __init__(
        self,
        animator: Animator,
        new_tracker: Callable[[], Tracker],
        portrait: Portrait,
        media: MediaSettings,
        limit: int = 4,
    ) -> None:
        """`new_tracker` is called in each session's thread; with `portrait` a session begins, unless told otherwise."""
        self._studio = Studio(animator, new_tracker, portrait, media)
        self._limit = limit
        self._sessions: dict[str, Session] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    async def open(self, offer: str, portrait: Portrait | None = None) -> Opened:
        """Begin a session for the SDP `offer`. SessionsFull; BadOffer where the offer cannot be answered."""
        if len(self) >= self._limit:
            raise SessionsFull(f"All {self._limit} sessions are in use; close one, or try again in a few seconds.")
        studio = replace(self._studio, portrait=portrait) if portrait else self._studio
        session = Session(studio, lambda: self._end(session))
        self._sessions[session.id] = session
        try:
            return Opened(session, await session.open(offer))
        except NoPort as error:
            self._end(session)
            raise SessionsFull(str(error)) from error
        except BaseException:
            self._end(session)
            raise

    def get(self, id: str) -> Session:
        """The session of this id, or UnknownSession."""
        try:
            return self._sessions[id]
        except KeyError:
            raise UnknownSession(id) from None

    async def close(self, id: str) -> None:
        """End the session of this id, and return when nothing of it is left. UnknownSession."""
        session = self.get(id)
        self._end(session)
        await session.close()

    async def close_all(self) -> None:
        """End every session, and return when nothing of them is left."""
        for session in list(self._sessions.values()):
            self._end(session)
        await asyncio.gather(*self._ending)

    def _end(self, session: Session) -> None:
        if self._sessions.pop(session.id, None) is not None:
            task = asyncio.create_task(session.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
