"""One user: the driver's frames in, the puppet's packets out. See `Session._perform` first.

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
from dataclasses import dataclass
from functools import partial
from logging import DEBUG
from typing import Any, Literal, Protocol, cast

import av

from pipeline.core.animator import Animator, Cue, DrivingFrame, Motion, Picture, Planes, Portrait
from pipeline.core.options import AnimateOptions
from pipeline.driving.driver_state import DriverState
from pipeline.face.face import Face
from pipeline.imaging.i420 import reduced
from realtime import control
from realtime.core.frame import Frame, Reception, Stamps, Trace, decoded
from realtime.core.slot import LatestSlot
from realtime.driver.effects import CrossFade, Freeze
from realtime.driver.frame_rate import FrameRateController
from realtime.driver.hints import Hint, hint
from realtime.driver.presence import Absence, Presence
from realtime.endpoints.output import Output, OutputName, ShownPicture
from realtime.metrics.counters import Counters
from realtime.metrics.event_log import log_event
from realtime.metrics.page_report import PageReport
from realtime.metrics.session_stats import SessionStats
from realtime.voice import Voice
from realtime.webrtc.broadcast import Broadcast
from realtime.webrtc.capture_clock import CaptureClock
from realtime.webrtc.codec import Packet
from realtime.webrtc.peer import Listener, Peer
from realtime.webrtc.sdp import PUPPETEER, Role
from realtime.webrtc.settings import MediaSettings
from realtime.webrtc.viewers import Viewers

QUIET_SECONDS = 0.2  # without a frame: from here on the portrait idles
IDLE_SECONDS = 1 / 25  # between idle pictures
SEARCH_SECONDS = 1.0  # the first face may take this long before "lost" is said

OPTIONS = frozenset({"size"})  # that the session carries out, whatever the animator
OUTPUTS: tuple[OutputName, ...] = ("virtual_camera", "recording")  # that the statistics always name
State = Literal["idle", "connecting", "live", "lost", "error"]
Reason = Absence | Literal["asked to", "hung up", "refused", "failed", "server ended"]

logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """Follows one driver's face. Belongs to the thread that made it."""

    faces: int  # in the picture: more than one, and the page says so

    def track(self, picture: Picture, time: float, smoothing: float = ...) -> Face | None:
        """The face in `picture`, seen at `time` (seconds)."""


@dataclass(frozen=True)
class SessionContext:
    """What every session works with."""

    animator: Animator
    new_tracker: Callable[[], Tracker]
    portrait: Portrait  # the first one of a session
    media: MediaSettings


class Session:
    """One user's puppet. Made and used on the event loop."""

    def __init__(self, context: SessionContext, on_end: Callable[[], None]) -> None:
        self.id = secrets.token_urlsafe(16)
        self.options = AnimateOptions()
        self.role: Role | None = None  # of its driver; None where that is no peer
        self._context = context
        self._portrait = context.portrait
        self._driver = DriverState()
        self._crossfade = CrossFade(context.animator)
        self._calibration_wanted = False
        self._hint: Hint | None = None
        self._freeze = Freeze()
        self._failing = False
        self._on_end = on_end
        self._inbox: LatestSlot[Frame] = LatestSlot()
        self._stats = SessionStats()
        self._capture = CaptureClock()
        self._frame_rate = FrameRateController()
        self._loop = asyncio.get_running_loop()
        self._peer: Peer | None = None
        self._broadcast = Broadcast()
        self._outputs: tuple[Output, ...] = ()
        self._voice = Voice(self._broadcast.send_voice, lambda: self._outputs)
        self.viewers = Viewers(self._broadcast, context.media)
        self._thread = threading.Thread(target=self._run, name=f"session-{self.id[:6]}")
        self._thread_ended = asyncio.Event()
        self._presence = Presence(self.request_close)
        self._closing: asyncio.Task[None] | None = None
        self._reason: Reason | None = None
        self._start = time.monotonic()

    async def open(self, offer: str, role: Role = PUPPETEER) -> str:
        """Answer the SDP `offer` of a driver, and go on by itself from there. BadOffer where it cannot be answered."""
        hung_up = partial(self.request_close, "hung up")
        self.role = role
        listener = Listener(self._on_frame, self._on_message, hung_up, self._on_report, on_voice=self._voice.on_packet)
        self._peer = peer = Peer(self._context.media, listener, role)
        answer = await peer.answer(offer)
        for warning in peer.warnings:
            self._stats.warn(warning, warning)
        if role is PUPPETEER:
            self._broadcast.codec = peer.codec
            self._broadcast.add(peer)
        self._thread.start()
        self._presence.begin(peer)
        return answer

    def open_here(self) -> None:
        """Begin without a peer: whoever opens it hands in the driver's frames by `drive`, and closes it."""
        self._thread.start()

    def drive(self, video: av.VideoFrame) -> None:
        """The driver's next frame, of a camera at this machine."""
        self._on_frame(video)

    async def add_candidates(self, fragment: str) -> None:
        """Add the driver's ICE candidates of an SDP fragment (trickle-ice-sdpfrag, RFC 8840)."""
        if self._peer:
            await self._peer.add_candidates(fragment)

    @property
    def receives_voice(self) -> bool:
        """Whether its driver may speak, now or later."""
        return self._peer is not None and self._peer.receives_voice

    def output(self, name: OutputName) -> Output | None:
        """The one of this name, where there is one."""
        return next((output for output in self._outputs if output.name == name), None)

    def add_output(self, output: Output) -> None:
        """Show pictures there, too, from the next one on."""
        self._outputs += (output,)

    async def remove_output(self, output: Output) -> None:
        """Show none there any more, and close it; one picture that is on its way may still come."""
        self._outputs = tuple(each for each in self._outputs if each is not output)
        await output.close()

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

    def freeze(self, on: bool) -> None:
        """Freeze the portrait as it is, from the next picture on, or let it follow again."""
        self._freeze.wanted = on

    @property
    def state(self) -> State:
        """In the page's words. lost: no face, or no frames. error: pictures fail, so the portrait at rest is shown."""
        if self._closing is not None:
            return "idle"
        if self._failing:
            return "error"
        match self._driver.state:
            case "calibrating" | "live":
                return "live"
            case "waiting" if not self._searched_long():
                return "connecting"
        return "lost"

    def stats(self) -> dict[str, Any]:
        """The numbers of GET /session/{id}/stats; stage times in milliseconds."""
        report = self._stats.report(time.monotonic(), self._inbox.dropped)
        about = {"state": self.state, "animator": self._context.animator.name, "rate": self._frame_rate.pace.rate}
        about |= {"hint": self._hint, "frozen": self._freeze.wanted}
        sent = {"target_mbps": round(self.target_bitrate / 1e6, 2), "viewers": len(self.viewers)}
        outputs: dict[str, Any] = {output.name: output.report() for output in self._outputs}
        return {**about, **sent, "audio": self._voice.report(), **dict.fromkeys(OUTPUTS), **outputs, **report}

    def traces(self) -> list[Trace]:
        """Of the last frames whose pictures were sent, the oldest first."""
        return self._stats.traces()

    def record_page_report(self, view: PageReport) -> None:
        """The page tells what it was shown."""
        self._stats.record_page_report(view)
        if view.voice:
            self._voice.sync.playout = view.voice / 1000

    def frames(self, since: float) -> dict[str, Any]:
        """For the page: this machine's `time` in seconds and, of each driver's frame whose picture was sent after
        `since`, [the picture's RTP timestamp, captured, received, sent]. See realtime/webrtc/capture_clock.py."""
        rows = map(self._row, self._stats.traces(since))
        return {"time": time.monotonic(), "frames": [row for row in rows if row]}

    def _row(self, trace: Trace) -> list[float] | None:
        timestamp = self._peer.timestamp(trace.pts) if self._peer else None
        captured = self._captured(trace)
        if timestamp is None or captured is None:
            return None
        return [timestamp, *(round(at, 4) for at in (captured, trace.reception.released, trace.sent))]

    def _captured(self, trace: Trace) -> float | None:
        timestamp = trace.reception.timestamp
        return None if timestamp is None else self._capture.captured(timestamp)

    def counters(self) -> Counters:
        """All that it did, for /metrics."""
        return self._stats.counters(self._inbox.dropped)

    @property
    def target_bitrate(self) -> int:
        """Bits per second that its encoder may use."""
        return self._broadcast.bitrate

    @property
    def encoders(self) -> int:
        """How many are at work for all that receive its pictures."""
        return self._broadcast.encoders

    def summary(self) -> dict[str, Any]:
        """For the log: numbers and names of kinds only, nothing of who or what was in the pictures."""
        report = self.stats()
        told = {key: report[key] for key in ("animator", "frames", "drops", "stages_ms", "page")}
        seconds = round(time.monotonic() - self._start, 1)
        errors = dict(self.counters().errors)
        return {"reason": self._reason, "seconds": seconds, "codec": self._broadcast.codec, "errors": errors, **told}

    def request_close(self, reason: Reason) -> None:
        """Begin to end, once."""
        self._reason = self._reason or reason
        self._on_end()

    async def close(self) -> None:
        """End it, and return when nothing of it is left. May be called more than once."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._presence.end()
        self._inbox.close()
        await self.viewers.close()
        if self._peer:
            await self._peer.close()
        if self._thread.ident is not None:
            await self._thread_ended.wait()
            self._thread.join()
        for output in self._outputs:
            await output.close()

    def _searched_long(self) -> bool:
        first = self._stats.first_frame
        return first is not None and time.monotonic() - first > SEARCH_SECONDS

    def _on_frame(self, video: av.VideoFrame) -> None:
        now = self._presence.touch()
        self._stats.record_received(now)
        unknown = Reception(None, arrived=now, released=now)
        self._inbox.put(Frame(video, now, cast(Reception, video.opaque or unknown)))

    def _on_message(self, message: str) -> str:
        self._presence.touch()
        return control.reply(self, message)

    def _on_report(self, timestamp: int) -> None:
        self._capture.report(timestamp, time.monotonic())

    def _on_sent(self, size: int, trace: Trace | None) -> None:
        now = time.monotonic()
        self._stats.record_sent(now, trace, size)
        if trace and (captured := self._captured(trace)) is not None:
            self._voice.sync.show(now - captured)

    # From here on: the session's thread.

    def _run(self) -> None:
        try:
            self._work(self._context.new_tracker())
        except Exception:
            logger.exception("A session's thread failed.")
            self._loop.call_soon_threadsafe(self.request_close, "failed")
        finally:
            self._loop.call_soon_threadsafe(self._thread_ended.set)

    def _work(self, tracker: Tracker) -> None:
        frame = None
        while True:
            frame = self._inbox.take(IDLE_SECONDS if frame is None else QUIET_SECONDS)
            if self._inbox.closed:
                return
            if not self._broadcast.congested:
                began = time.monotonic()
                self._attempt(frame, tracker)
                if frame is not None:
                    self._adapt(began, time.monotonic())
            elif frame is not None:
                self._stats.record_dropped()

    def _attempt(self, frame: Frame | None, tracker: Tracker) -> None:
        """Perform `frame`; where that fails, show the portrait at rest and go on."""
        try:
            self._perform(frame, tracker)
            self._failing = False
        except Exception as error:
            self._fail(error)
            with contextlib.suppress(Exception):  # the first failure was reported
                [shown] = self._context.animator.animate([Cue(self._portrait, self.options)], "i420")
                self._show(shown, self._encode(shown), None)

    def _adapt(self, began: float, ended: float) -> None:
        """Ask the driver for as many frames as can be drawn."""
        if self._frame_rate.add(ended - began, self._stats.rate_in(ended), ended):
            pace = self._frame_rate.pace
            self._stats.set_notice("pace", pace.warning)
            log_event("pace", DEBUG, rate=pace.rate, drawn=round(pace.drawn, 1), offered=round(pace.offered, 1))

    def _perform(self, frame: Frame | None, tracker: Tracker) -> None:
        """A frame's way, from the decoder to the sender. Without a frame, the portrait idles."""
        stamps = Stamps(time.monotonic, frame.reception.released if frame else time.monotonic())
        animator, portrait, options = self._context.animator, self._portrait, self.options
        seen = self._decode_and_track(frame, tracker, options.smoothing, stamps) if frame else None
        [motion] = animator.read_motion([seen]) if seen else [None]
        if self._calibration_wanted:
            self._calibration_wanted = False
            self._driver.calibrate()
        cue = self._driver.cue(portrait, options, motion, stamps.now, seen.picture if seen else None)
        stamps.mark("motion")
        shown = self._crossfade.draw(self._freeze.apply(cue), stamps.now)
        stamps.mark("animate")
        packet = self._encode(shown)
        stamps.mark("encode")
        trace = None
        if frame and seen:
            pts = packet.pts if packet and packet.pts else 0
            trace = Trace(frame.reception, frame.decoded, seen.time, stamps.now, stamps.spent, pts=pts)
            self._stats.record_animated(stamps.spent)
        self._show(shown, packet, trace, frame.video if frame else None, motion)

    def _decode_and_track(self, frame: Frame, tracker: Tracker, smoothing: float, stamps: Stamps) -> DrivingFrame:
        stamps.mark("decode", frame.decoded)
        stamps.mark("wait")
        picture, planes = decoded(frame.video)
        stamps.mark("decode")
        face = tracker.track(picture, stamps.now, smoothing)
        self._hint = hint(picture, face, tracker.faces)
        stamps.mark("track")
        return DrivingFrame(picture, face, stamps.now, self._driver.motion, planes)

    def _encode(self, shown: Planes) -> Packet | None:
        return self._broadcast.encode(reduced(shown, self.options.size))

    def _show(
        self,
        shown: Planes,
        packet: Packet | None,
        trace: Trace | None,
        driver: av.VideoFrame | None = None,
        motion: Motion | None = None,
    ) -> None:
        """Everywhere."""
        if packet:
            self._broadcast.hand_out(packet, partial(self._on_sent, packet.size, trace))
        else:
            self._on_sent(0, trace)
        for output in self._outputs:
            output.show(ShownPicture(shown, time.monotonic(), driver, motion))

    def _fail(self, error: Exception) -> None:
        self._failing = True
        self._stats.record_failed(type(error).__name__)
        sentence = f"A picture failed ({type(error).__name__}: {error}); the portrait at rest was shown."
        if self._stats.warn(type(error).__name__, sentence):
            logger.error("A picture failed.", exc_info=error)
