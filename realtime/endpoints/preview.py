"""A window that shows the puppet on this machine, with keys for its driver."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, cast

from pipeline.core.animator import Planes
from realtime.core.slot import LatestSlot
from realtime.core.threads import in_thread
from realtime.endpoints.output import Output, OutputName, ShownPicture
from realtime.endpoints.preview_window import Action, Sheet

ROOT = Path(__file__).parents[2]
IDLE_SECONDS = 0.5  # between checks whether pictures still come
STATUS_SECONDS = 0.5  # between updates of the figures


class NoDisplay(RuntimeError):
    """No window can be opened; the text is a sentence with the remedy."""


class Preview(Output):
    """A silent window in another process (`preview_window` says why), served by two threads."""

    name: OutputName = "preview"

    def __init__(self, mirror: bool = True) -> None:
        """`mirror`: show it as in a mirror, here only. Raise NoDisplay if no window can be opened."""
        self._slot: LatestSlot[Planes] = LatestSlot()
        self._actions: SimpleQueue[Action] = SimpleQueue()
        self._lines: Sequence[str] = ()
        words = [sys.executable, "-m", "realtime.endpoints.preview_window", *(["mirror"] if mirror else [])]
        self._window = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._threads = [threading.Thread(target=work, name="preview") for work in (self._listen, self._feed)]
        for thread in self._threads:
            thread.start()
        if self._actions.get() != "ready":
            self._end()
            raise NoDisplay(
                "The preview needs a display, and there is none (over SSH: ssh -X); leave out --preview, and use "
                "--virtual-camera or --record FILE."
            )

    def show(self, shown: ShownPicture) -> None:
        self._slot.put(shown.planes)

    def report(self) -> bool:
        """Return whether the window is open."""
        return self._window.poll() is None

    async def close(self) -> None:
        await in_thread(self._end)

    def run(self, act: Callable[[Action], None], status: Callable[[], Sequence[str]], ended: threading.Event) -> None:
        """Run until the user quits, or `ended` is set. `act` does what a key asks; `status` returns lines to show."""
        while not ended.is_set():
            self._lines = status()
            with suppress(Empty):
                if (action := self._actions.get(timeout=STATUS_SECONDS)) == "quit":
                    return
                act(action)

    def _end(self) -> None:
        self._slot.close()
        self._window.terminate()
        for thread in self._threads:
            thread.join()
        self._window.wait()

    def _listen(self) -> None:
        """Read the window's keys, in a thread."""
        pipe = cast(Any, self._window.stdout)
        with pipe:
            for line in pipe:
                self._actions.put(cast(Action, line.decode().strip()))
        self._actions.put("quit")

    def _feed(self) -> None:
        """Send the newest picture whenever the window has read the last one, in a thread."""
        with suppress(OSError), cast(Any, self._window.stdin) as pipe:  # the window was closed
            while not self._slot.closed:
                if (planes := self._slot.take(IDLE_SECONDS)) is not None:
                    Sheet(planes, self._lines).write(pipe)
