"""The preview's window: a program that `realtime.endpoints.preview` starts. Pictures come in, keys go out.

It cannot be in a program that uses PyAV: if PyAV's X11 library is loaded before that of OpenCV's Qt, opening a window
never returns (PyAV issue 1050). Besides, without a display Qt ends the whole program, and on macOS windows belong to
the main thread. So this module must not import `av`, not even indirectly.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Planes
from realtime.core.slot import LatestSlot

Action = Literal["ready", "calibrate", "next portrait", "pause", "mirror", "overlay", "quit"]
KEYS: Mapping[str, Action] = {
    "c": "calibrate",
    "n": "next portrait",
    " ": "pause",
    "m": "mirror",
    "o": "overlay",
    "q": "quit",
    "\x1b": "quit",  # Escape
}
HINTS = "C calibrate   N next portrait   Space pause", "M mirror   O hide this   Q quit"
TITLE = "Portrait puppet"
HEIGHT = 720  # pixels of the window at first, and at least of its pictures, so that text is readable
LINE = 28  # pixels from one line of text to the next
WAIT_SECONDS = 0.02  # for a picture, between checks of the keys


@dataclass(frozen=True, eq=False)
class Sheet:
    """A picture, and lines of text to draw on it."""

    planes: Planes
    lines: Sequence[str]

    def write(self, pipe: BinaryIO) -> None:
        """Write it to the window's pipe."""
        pipe.write(json.dumps([*self.planes.shape, *self.lines]).encode() + b"\n")
        pipe.write(np.ascontiguousarray(self.planes).data)
        pipe.flush()

    @classmethod
    def read(cls, pipe: BinaryIO) -> Sheet | None:
        """Read what `write` wrote; None at the end."""
        if not (line := pipe.readline()):
            return None
        rows, columns, *lines = json.loads(line)
        data = pipe.read(rows * columns)
        return cls(np.frombuffer(data, np.uint8).reshape(rows, columns), lines) if len(data) == rows * columns else None


def action_of(key: int) -> Action | None:
    """Return what a key code of OpenCV asks for; the code is -1 if no key was pressed."""
    return KEYS.get(chr(key & 0xFF).lower()) if key >= 0 else None


def drawn(planes: Planes, mirror: bool, lines: Sequence[str]) -> NDArray[np.uint8]:
    """Return `planes` as (at least HEIGHT, width, 3) BGR, flipped left to right if `mirror`, with unflipped lines."""
    picture = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)
    picture = cv2.flip(picture, 1) if mirror else picture
    scale = HEIGHT / picture.shape[0]
    if scale > 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    picture[: LINE * len(lines)] //= 3
    for number, line in enumerate(lines):
        place = LINE // 2, LINE * (number + 1) - LINE // 4
        cv2.putText(picture, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.62, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(picture, np.uint8)


class PreviewWindow:
    """Shows the newest sheet, and handles the keys that change only the view."""

    def __init__(self, mirror: bool) -> None:
        self._mirror, self._overlay, self._was_visible = mirror, True, False
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(TITLE, HEIGHT, HEIGHT)

    def show(self, sheet: Sheet) -> None:
        """Draw a sheet."""
        lines = (*sheet.lines, *HINTS) if self._overlay else ()
        cv2.imshow(TITLE, drawn(sheet.planes, self._mirror, lines))

    def pressed(self) -> Action | None:
        """Return what the user asks of the program, by a key or the window's close button."""
        action = action_of(cv2.waitKey(1))
        if action == "mirror":
            self._mirror = not self._mirror
        elif action == "overlay":
            self._overlay = not self._overlay
        else:
            return "quit" if self._is_closed() else action
        return None

    def _is_closed(self) -> bool:
        """Return whether the close button was used, as far as the window system reports it."""
        visible = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1
        self._was_visible |= visible
        return self._was_visible and not visible


def main(mirror: bool) -> None:
    """Show pictures until the user quits, or no more come."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all programs of a terminal; the parent decides
    window, sheets, action = PreviewWindow(mirror), LatestSlot[Sheet](), None
    threading.Thread(target=_read, args=(sheets,), daemon=True).start()
    _send("ready")
    while not sheets.closed and action != "quit":
        if sheet := sheets.take(WAIT_SECONDS):
            window.show(sheet)
        if action := window.pressed():
            _send(action)


def _send(action: Action) -> None:
    sys.stdout.write(f"{action}\n")
    sys.stdout.flush()


def _read(sheets: LatestSlot[Sheet]) -> None:
    while sheet := Sheet.read(sys.stdin.buffer):
        sheets.put(sheet)
    sheets.close()


if __name__ == "__main__":
    main(mirror="mirror" in sys.argv)
