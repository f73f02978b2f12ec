"""A camera device with the puppet's picture, for other programs: video calls, OBS. Needs a device driver."""

from __future__ import annotations

import logging
import math
import re
import sys
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Planes
from pipeline.doctor import INSTALL, VIRTUAL_CAMERA_REMEDY
from pipeline.imaging.i420 import to_picture
from realtime.core.frame import to_video_frame
from realtime.core.slot import LatestSlot
from realtime.core.threads import in_thread
from realtime.endpoints.compose import covering, fitted
from realtime.endpoints.framing import Framing
from realtime.endpoints.output import Output, OutputName, ShownPicture

FORMATS = ("I420", "RGB")  # pyvirtualcam's names; sessions draw the first, and v4l2loopback takes it unchanged
TAKEN = re.compile("in use|busy|could not be started", re.IGNORECASE)  # in the messages of device drivers
LEAD_SECONDS = 0.006  # by which a picture is prepared before it is due, so that pictures come evenly
IDLE_SECONDS = 0.5  # between checks for the first picture

logger = logging.getLogger(__name__)


class NoVirtualCamera(RuntimeError):
    """There is no device driver, or no such device; the text is a sentence with the remedy."""


class VirtualCameraInUse(RuntimeError):
    """Another session of this program uses it; the text says which."""


def next_tick(last: int, elapsed: float, fps: float) -> int:
    """Return the next tick to send: the one after `last`, or a later one, if that is over already.

    Tick n is `n / fps` seconds after the start, which was `elapsed` seconds ago. Skipped ticks are never made up
    for, so that pictures do not come in bursts.
    """
    return max(last + 1, math.floor(elapsed * fps))


class _Ownership:
    """Who uses the virtual camera: most systems have one, and the pictures of two users would alternate."""

    def __init__(self) -> None:
        self._taken = threading.Lock()
        self._owner = ""

    def take(self, owner: str) -> None:
        if not self._taken.acquire(blocking=False):
            raise VirtualCameraInUse(f"The virtual camera is in use by {self._owner}; switch it off there first.")
        self._owner = f"{owner} since {time.strftime('%H:%M')}"

    def release(self) -> None:
        self._taken.release()


_ownership = _Ownership()


class VirtualCamera(Output):
    """Has a fixed size and rate, from the first picture on; the last picture is repeated if none is new.

    It has a thread of its own. If the device disappears, it ends by itself, and `report` returns None.
    """

    name: OutputName = "virtual_camera"

    def __init__(self, owner: str, device: str = "", framing: Framing | None = None) -> None:
        """Open `device`, by its name in the system ("": the first). `owner`: for the error message of other users.

        Raise VirtualCameraInUse or NoVirtualCamera.
        """
        self._framing = framing or Framing()
        self._slot: LatestSlot[Planes] = LatestSlot()
        _ownership.take(owner)
        try:
            self._camera = _opened(device, self._framing)
        except BaseException:
            _ownership.release()
            raise
        self.device: str = self._camera.device
        self._thread = threading.Thread(target=self._run, name="virtual-camera", daemon=True)
        self._thread.start()

    def show(self, shown: ShownPicture) -> None:
        self._slot.put(shown.planes)

    def report(self) -> str | None:
        """Return the device's name; None if it is gone."""
        return self.device if self._thread.is_alive() else None

    async def close(self) -> None:
        self._slot.close()
        await in_thread(self._thread.join)

    # From here on: the camera's thread.

    def _run(self) -> None:
        try:
            with self._camera:
                while not self._slot.closed:
                    if (first := self._slot.take(IDLE_SECONDS)) is not None:
                        self._send(first)
        except Exception:
            logger.exception("The virtual camera %s is gone; switch it on again.", self.device)
        finally:
            _ownership.release()

    def _send(self, first: Planes) -> None:
        """Send the first picture, and one at each tick from then on."""
        picture, start, number, fps = self._prepared(first), time.monotonic(), 0, self._framing.fps
        while not self._slot.closed:
            self._camera.send(picture)
            number = next_tick(number, time.monotonic() - start, fps)
            due = start + number / fps
            _sleep_until(due - LEAD_SECONDS)
            if (newest := self._slot.take(0)) is not None:
                picture = self._prepared(newest)
            _sleep_until(due)

    def _prepared(self, planes: Planes) -> NDArray[np.uint8]:
        place = fitted if self._framing.fit == "pad" else covering
        placed = place(to_video_frame(planes, 0), self._framing.width, self._framing.height)
        return placed if self._camera.fmt.name == "I420" else to_picture(placed)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _opened(device: str, framing: Framing) -> Any:
    """Return a pyvirtualcam.Camera of the first of FORMATS that its driver accepts. Raise NoVirtualCamera if none."""
    try:
        import pyvirtualcam
    except ImportError as error:
        raise NoVirtualCamera(f"The virtual camera needs pyvirtualcam ({error}); run: {INSTALL}") from error
    size = framing.width, framing.height, framing.fps
    for name in FORMATS:
        try:
            return pyvirtualcam.Camera(*size, fmt=pyvirtualcam.PixelFormat[name], device=device or None)
        except RuntimeError as error:
            reason = str(error)
    raise NoVirtualCamera(_sentence(reason))


def _sentence(reason: str, platform: str = sys.platform) -> str:
    """Return a sentence with the remedy for pyvirtualcam's `reason`, which has one line for each device driver."""
    first = re.sub(r"^'\w+' backend: ", "", reason.partition("\n")[0]).partition(". ")[0].rstrip(".!")
    if TAKEN.search(first):
        return f"The virtual camera cannot be opened ({first}); close the program that uses it."
    return f"There is no virtual camera ({first}); to get one: {VIRTUAL_CAMERA_REMEDY.get(platform, INSTALL)}"
