"""The thread of one session: it takes the newest frame, draws the portrait with its driver's expression, and sends it.

Read `RenderLoop._render` first: its lines are the stages of a frame, in order.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Literal

from pipeline.core.animator import Animator, Cue, DrivingFrame, Planes, Portrait
from pipeline.core.options import AnimateOptions
from pipeline.driving.driver_state import DriverState
from pipeline.face.tracker import FaceTracker
from pipeline.imaging.i420 import reduced
from realtime.core.frame import Frame, Stamps, Trace, decoded
from realtime.core.slot import LatestSlot
from realtime.driver.effects import CrossFade, Freeze
from realtime.driver.frame_rate import FrameRateController
from realtime.driver.hints import Hint, hint
from realtime.endpoints.output import Output, ShownPicture
from realtime.metrics.event_log import log_event
from realtime.metrics.session_stats import SessionStats
from realtime.webrtc.broadcast import Broadcast
from realtime.webrtc.codec import Packet

QUIET_SECONDS = 0.2  # after so long without a frame the portrait idles
IDLE_SECONDS = 1 / 25  # between idle pictures
SEARCH_SECONDS = 1.0  # to find the first face; then the state is "lost"

logger = logging.getLogger(__name__)


class RenderLoop:
    """Draws the pictures of one session. What a user sets here may be set from any thread."""

    def __init__(
        self,
        animator: Animator,
        portrait: Portrait,
        stats: SessionStats,
        broadcast: Broadcast,
        on_sent: Callable[[int, Trace | None], None],
    ) -> None:
        """Call `on_sent` with each picture's size in bytes and trace: on the event loop; unsent (0), in this thread."""
        self.portrait = portrait
        self.options = AnimateOptions()
        self.freeze = Freeze()
        self.calibration_wanted = False
        self.outputs: tuple[Output, ...] = ()
        self.inbox: LatestSlot[Frame] = LatestSlot()
        self.frame_rate = FrameRateController()
        self.hint: Hint | None = None
        self._animator = animator
        self._stats = stats
        self._broadcast = broadcast
        self._on_sent = on_sent
        self._driver = DriverState()
        self._crossfade = CrossFade(animator)
        self._failing = False

    @property
    def state(self) -> Literal["connecting", "live", "lost", "error"]:
        """lost: there is no face, or no frames come. error: drawing fails, so the portrait at rest is shown."""
        if self._failing:
            return "error"
        match self._driver.state:
            case "calibrating" | "live":
                return "live"
            case "waiting" if not self._searched_long():
                return "connecting"
        return "lost"

    def _searched_long(self) -> bool:
        first = self._stats.first_frame
        return first is not None and time.monotonic() - first > SEARCH_SECONDS

    # From here on: the session's thread.

    def run(self, tracker: FaceTracker) -> None:
        """Draw each newest frame, and the idle portrait while none comes, until `inbox` is closed."""
        frame = None
        while True:
            frame = self.inbox.take(IDLE_SECONDS if frame is None else QUIET_SECONDS)
            if self.inbox.closed:
                return
            if not self._broadcast.congested:
                began = time.monotonic()
                self._attempt(frame, tracker)
                if frame is not None:
                    self._adapt_frame_rate(began, time.monotonic())
            elif frame is not None:
                self._stats.record_dropped()

    def _attempt(self, frame: Frame | None, tracker: FaceTracker) -> None:
        """Render `frame`; if that fails, show the portrait at rest and go on."""
        try:
            self._render(frame, tracker)
            self._failing = False
        except Exception as error:
            self._record_failure(error)
            with contextlib.suppress(Exception):  # the first failure was reported
                [picture] = self._animator.animate([Cue(self.portrait, self.options)], "i420")
                self._deliver(ShownPicture(picture, time.monotonic(), None), self._encode(picture), None)

    def _render(self, frame: Frame | None, tracker: FaceTracker) -> None:
        """Take `frame` all the way from the decoder to the sender. Without one, the portrait idles."""
        stamps = Stamps(time.monotonic, frame.reception.released if frame else time.monotonic())
        portrait, options = self.portrait, self.options
        driving = self._decode_and_track(frame, tracker, options.smoothing, stamps) if frame else None
        [motion] = self._animator.read_motion([driving]) if driving else [None]
        if self.calibration_wanted:
            self.calibration_wanted = False
            self._driver.calibrate()
        cue = self._driver.cue(portrait, options, motion, stamps.now, driving.picture if driving else None)
        stamps.mark("motion")
        picture = self._crossfade.draw(self.freeze.apply(cue), stamps.now)
        stamps.mark("animate")
        packet = self._encode(picture)
        stamps.mark("encode")
        trace = self._trace(frame, driving, stamps, packet) if frame and driving else None
        shown = ShownPicture(picture, time.monotonic(), frame.video if frame else None, motion)
        self._deliver(shown, packet, trace)

    def _decode_and_track(self, frame: Frame, tracker: FaceTracker, smoothing: float, stamps: Stamps) -> DrivingFrame:
        stamps.mark("decode", frame.decoded)
        stamps.mark("wait")
        picture, planes = decoded(frame.video)
        stamps.mark("decode")
        face = tracker.track(picture, stamps.now, smoothing)
        self.hint = hint(picture, face, tracker.faces)
        stamps.mark("track")
        return DrivingFrame(picture, face, stamps.now, self._driver.motion, planes)

    def _encode(self, picture: Planes) -> Packet | None:
        return self._broadcast.encode(reduced(picture, self.options.size))

    def _deliver(self, shown: ShownPicture, packet: Packet | None, trace: Trace | None) -> None:
        if packet:
            self._broadcast.hand_out(packet, partial(self._on_sent, packet.size, trace))
        else:
            self._on_sent(0, trace)
        for output in self.outputs:
            output.show(shown)

    def _trace(self, frame: Frame, driving: DrivingFrame, stamps: Stamps, packet: Packet | None) -> Trace:
        self._stats.record_animated(stamps.spent)
        pts = packet.pts if packet and packet.pts else 0
        return Trace(frame.reception, frame.decoded, driving.time, stamps.now, stamps.spent, pts=pts)

    def _adapt_frame_rate(self, began: float, ended: float) -> None:
        """Ask the driver for as many frames as can be drawn."""
        if self.frame_rate.add(ended - began, self._stats.rate_in(ended), ended):
            pace = self.frame_rate.pace
            self._stats.set_notice("pace", pace.warning)
            log_event("pace", logging.DEBUG, rate=pace.rate, drawn=round(pace.drawn, 1), offered=round(pace.offered, 1))

    def _record_failure(self, error: Exception) -> None:
        self._failing = True
        self._stats.record_failed(type(error).__name__)
        sentence = f"A picture failed ({type(error).__name__}: {error}); the portrait at rest was shown."
        if self._stats.warn(type(error).__name__, sentence):
            logger.error("A picture failed.", exc_info=error)
