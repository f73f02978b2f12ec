"""A session without a browser: a camera at this machine in; a virtual camera, a window or a file out."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import Any, TypeVar

from pipeline.core.animator import Portrait
from pipeline.core.options import AnimateOptions
from realtime.driver.hints import HINTS
from realtime.endpoints.camera import Camera
from realtime.endpoints.output import Output
from realtime.endpoints.preview import Preview
from realtime.endpoints.preview_window import Action
from realtime.session import Session, SessionContext

LOOK_SECONDS = 0.5  # between checks whether the session ended, without a preview
STATES = {"connecting": "Looking for your face", "error": "Pictures fail: the portrait rests"}
T = TypeVar("T")


class LocalError(RuntimeError):
    """The session ended by itself; the text is a sentence with the remedy."""


@contextmanager
def opened(makers: Iterable[Callable[[], Output]]) -> Iterator[list[Output]]:
    """Make the outputs one by one. Close all of them at the end, or if one cannot be made."""
    outputs: list[Output] = []
    try:
        for make in makers:
            outputs.append(make())
        yield outputs
    finally:
        for output in outputs:
            asyncio.run(output.close())


class LocalSession:
    """A session that a local camera drives. Its event loop has its own thread; call the methods in the main thread."""

    def __init__(
        self, context: SessionContext, portraits: Sequence[Portrait], options: AnimateOptions, camera: Camera
    ) -> None:
        """`portraits`: the context's one first, then those that the "next portrait" key shows."""
        self.ended = threading.Event()  # set if the session ends by itself
        self._camera = camera
        self._portraits = cycle([*portraits[1:], *portraits[:1]])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="local-session", daemon=True)
        self._thread.start()
        self._session = self._call(lambda: Session(context, self.ended.set))
        self._session.set_options(vars(options))

    def start(self, outputs: Sequence[Output]) -> None:
        """Show pictures in `outputs`: the portrait at rest until the camera shows a face."""
        for output in outputs:
            self._session.add_output(output)
        self._soon(self._session.open_here)
        self._camera.start(lambda video: self._soon(lambda: self._session.drive(video)))

    def stop(self) -> None:
        """Close the session, its outputs and its camera."""
        self._camera.close()
        asyncio.run_coroutine_threadsafe(self._session.close(), self._loop).result()
        self._soon(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def act(self, action: Action) -> None:
        """Do what a key of the preview asks for."""
        match action:
            case "calibrate":
                self._soon(self._session.calibrate)
            case "next portrait":
                portrait = next(self._portraits)
                self._soon(lambda: self._session.set_portrait(portrait))
            case "pause":
                self._camera.paused = not self._camera.paused

    def status(self) -> tuple[str, ...]:
        """Return lines for the preview."""
        return status_lines(self._call(self._session.telemetry.stats), self._camera.connected, self._camera.paused)

    def _soon(self, work: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(work)

    def _call(self, work: Callable[[], T]) -> T:

        async def call() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()


def status_lines(stats: Mapping[str, Any], connected: bool, paused: bool) -> tuple[str, ...]:
    """Return a line of figures, and the most pressing thing that the driver should know, if any."""
    server = stats["stages_ms"]["server"]
    figures = f"{stats['fps']['out']:.0f} fps   {server['p50']:.0f} ms   {stats['frames']['dropped']} dropped"
    if paused:
        return figures, "Paused: the portrait rests"
    if not connected:
        return figures, "The camera is gone: the portrait rests until it is back"
    hint = "lost" if stats["state"] == "lost" and stats["hint"] != "dark" else stats["hint"]
    trouble = STATES.get(stats["state"]) or HINTS.get(hint)
    return (figures, trouble) if trouble else (figures,)


def perform(local: LocalSession, outputs: Sequence[Output], on_ready: Callable[[], None]) -> None:
    """Run until Ctrl-C or SIGTERM, or until the preview is quit. Raise LocalError if the session ends by itself."""
    with _interrupted_once():
        try:
            local.start(outputs)
            on_ready()
            _watch(local, outputs)
        except KeyboardInterrupt:  # the usual end
            pass
        finally:
            local.stop()
    if local.ended.is_set():
        raise LocalError("The session ended by itself; run the command again with --verbose to see why.")


def _watch(local: LocalSession, outputs: Sequence[Output]) -> None:
    for output in outputs:
        if isinstance(output, Preview):
            return output.run(local.act, local.status, local.ended)
    while not local.ended.wait(LOOK_SECONDS):
        pass


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first SIGINT or SIGTERM; ignore later ones, so that closing is not interrupted."""

    def interrupt(*_: object) -> None:
        for number in before:
            signal.signal(number, lambda *_: None)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
