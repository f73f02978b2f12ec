"""`run.py latency`: glass-to-glass latency: the real server, a real client, and what became of each camera frame."""

from __future__ import annotations

import argparse
import base64
import dataclasses
import gc
import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from typing import Any, cast

import av
import cv2
from fastapi import APIRouter, FastAPI, Request

from pipeline.bench.host import result
from pipeline.core.animator import Picture, Progress
from pipeline.files.demo_clip import write_demo
from realtime.bench.glass_to_glass import LatencyError, Measurement, Recording, ServerTrace, analyse
from realtime.bench.latency_report import page, table
from realtime.bench.timecode import CodeCarrier
from realtime.core.frame import Trace
from realtime.session import Session
from realtime.webrtc.codec import CodecName
from realtime.webrtc.impairment import Impairment
from realtime.webrtc.settings import MediaSettings
from web.app import create_app
from web.cli.console import bar, check_folder, write_json
from web.cli.latency_clients import Client, ClientName, choose, client, resident_megabytes
from web.cli.loading import fetched_face_models, settings, use_one_thread
from web.core.requests import MAX_TEXT, read_body
from web.core.settings import Settings
from web.serve import WebServer, listen, uvicorn_config
from web.services.engine import Engine, load_engine

CAMERA = 640, 480
LONGEST_RECORDING = 64_000_000  # bytes
PATIENCE_SECONDS = 30.0  # until the first picture, and until the recording after the window
LOOK_SECONDS = 0.5  # between looks at the session
DROPS = {"server: a newer one came": "replaced", "server: the sender was behind": "congested"}
DRIVER_SECONDS, DRIVER_FPS, NOMINAL_FPS = 3, 10, 30


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    client: ClientName = "browser"
    seconds: float = 20.0
    fps: int = 30
    codec: CodecName = "H264"
    warm_up: float = 6.0  # seconds before the window: the browser's encoder finds its bitrate

    def settings(self, server: Settings, engine: Engine) -> dict[str, Any]:
        """Return what was measured and on what, for the report."""
        bad = server.media.impairment or Impairment()
        return {
            **dataclasses.asdict(self),
            "animator": engine.loaded.animator.name,
            "device": engine.loaded.device,
            "reason": engine.loaded.reason,
            "size": server.size,
            "camera": list(CAMERA),
            "loss_percent": bad.loss * 100,
            "delay_ms": bad.delay * 1000,
            "jitter_ms": bad.jitter * 1000,
        }


@dataclass(frozen=True)
class ServerSample:
    """The state of affairs at one end of the window."""

    time: float
    server_cpu: float  # seconds
    client_cpu: float
    server_memory: float  # resident MB
    drops: dict[str, int]


Event = Recording | LatencyError | None
"""What the client sends: None when its window begins and ends, and at last its recording or what went wrong."""


def run(parsed: argparse.Namespace) -> int:
    """Serve a real client, measure, and print a table."""
    check_folder("--json", parsed.json)
    check_folder("--report", parsed.report)
    bad = Impairment(parsed.loss / 100, parsed.delay / 1000, parsed.jitter / 1000)
    chosen, reason = choose(parsed.client)
    print(f"Client: {chosen} ({reason}).", file=sys.stderr)
    sys.setswitchinterval(0.001)  # as serve does
    use_one_thread()
    fetched_face_models()
    server = settings(parsed, port=0, media=MediaSettings(strict=True, impairment=None if bad == Impairment() else bad))
    with bar("Warming up", "step") as progress:
        engine = load_engine(server, progress)
    plan = Plan(chosen, parsed.seconds, parsed.fps, "H264" if parsed.codec == "h264" else "VP8")
    with bar("Measuring", "s") as progress:
        measured = measure(plan, server, engine, driver_pictures(), progress)
    write_json(parsed.json, result(parsed.line, measured.figures))
    if parsed.report:
        parsed.report.write_text(page(measured))
    print(table(measured))
    return 0


def measure(plan: Plan, server: Settings, engine: Engine, pictures: Sequence[str], progress: Progress) -> Measurement:
    """Serve, let a client measure, and combine what both know. Raise LatencyError if nothing can be measured.

    `pictures`: what the client's camera shows, JPEG in base64. `progress` counts seconds.
    """
    carrier = CodeCarrier(engine.loaded.animator)
    engine = replace(engine, loaded=replace(engine.loaded, animator=carrier))
    events: Queue[Event] = Queue()
    app = create_app(server, engine, routes(plan, pictures, events))
    recording, watch = observe(app, server, plan, events, progress)
    measured = analyse(recording, watch.served(carrier.seen), plan.fps)
    about = plan.settings(server, engine) | {"client_version": recording.client}
    return replace(measured, figures=measured.figures | watch.resources() | {"settings": about})


def observe(
    app: FastAPI, server: Settings, plan: Plan, events: Queue[Event], progress: Progress
) -> tuple[Recording, Watch]:
    """Serve `app`, which has the `routes` of the same `events`, and let a client measure. May raise LatencyError."""
    with _served(app, server) as url, client(plan.client, url) as running:
        watch = Watch(app.state.sessions, running)
        return watch.follow(events, plan, progress), watch


class Watch:
    """Samples the server's session and the client's process while the client measures."""

    def __init__(self, sessions: Iterable[Session], running: Client) -> None:
        self._sessions = sessions
        self._client = running
        self._traces: dict[float, Trace] = {}
        self._samples: list[ServerSample] = []

    def follow(self, events: Queue[Event], plan: Plan, progress: Progress) -> Recording:
        """Wait for the client's recording. Raise LatencyError if it ends early or takes too long."""
        start, expected = time.monotonic(), plan.warm_up + plan.seconds
        while (elapsed := time.monotonic() - start) < expected + PATIENCE_SECONDS:
            progress(int(min(elapsed, expected)), int(expected))
            try:
                event = events.get(timeout=LOOK_SECONDS)
            except Empty:
                self._client.check()
            else:
                if isinstance(event, LatencyError):
                    raise event
                if event is not None:
                    return event
                self._samples.append(self._sample())
            for session in self._sessions:
                self._traces |= {trace.seen: trace for trace in session.telemetry.session_stats.traces()}
        raise LatencyError(f"The client did not report within {expected + PATIENCE_SECONDS:.0f} seconds.")

    def served(self, numbers: Mapping[float, int | None]) -> ServerTrace:
        """Return what the server did. `numbers`: frame numbers by the time at which the animator saw them."""
        start, end = self._samples
        traces = [(numbers.get(seen), trace) for seen, trace in sorted(self._traces.items())]
        drops = {place: end.drops[place] - start.drops[place] for place in DROPS}
        return ServerTrace(time.time() - time.monotonic(), traces, drops)

    def resources(self) -> dict[str, Any]:
        """Return the cores in use on average in the window, and the server's memory at both ends of it."""
        start, end = self._samples
        spent = {"server": end.server_cpu - start.server_cpu, "client": end.client_cpu - start.client_cpu}
        return {
            "cpu_cores": {name: round(seconds / (end.time - start.time), 2) for name, seconds in spent.items()},
            "server_memory_mb": {"start": start.server_memory, "end": end.server_memory},
        }

    def _sample(self) -> ServerSample:
        counted = [session.telemetry.stats()["drops"] for session in self._sessions]
        drops = {place: sum(counts[key] for counts in counted) for place, key in DROPS.items()}
        return ServerSample(
            time.monotonic(), time.process_time(), self._client.cpu_seconds(), resident_megabytes(), drops
        )


def driver_pictures() -> list[str]:
    """Return some seconds of the scripted driver, forwards and backwards, as JPEG in base64."""
    with TemporaryDirectory() as folder:
        clip = Path(folder) / "driver.mp4"
        write_demo(clip, seconds=DRIVER_SECONDS, fps=DRIVER_FPS)
        with av.open(str(clip)) as container:
            frames = [cast(Picture, frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]
    coded = [_jpeg(frame) for frame in frames for _ in range(NOMINAL_FPS // DRIVER_FPS)]
    return coded + coded[::-1]


def _jpeg(frame: Picture) -> str:
    """Widen the square `frame` to a camera's picture; return it as JPEG in base64."""
    height, width = frame.shape[:2]
    side = (height * CAMERA[0] // CAMERA[1] - width) // 2
    wide = cv2.copyMakeBorder(frame, 0, 0, side, side, cv2.BORDER_REPLICATE)
    return base64.b64encode(cv2.imencode(".jpg", cv2.resize(wide, CAMERA))[1].tobytes()).decode()


def routes(plan: Plan, pictures: Sequence[str], events: Queue[Event]) -> APIRouter:
    """Return the routes that the client uses: plan, pictures, clock, window, recording, failure."""
    router = APIRouter(prefix="/latency")
    about = dataclasses.asdict(plan) | {"patience": PATIENCE_SECONDS, "camera": CAMERA}

    @router.get("/plan")
    async def get_plan() -> dict[str, Any]:
        return about

    @router.get("/driver")
    async def get_driver() -> Sequence[str]:
        return pictures

    @router.get("/clock")
    async def get_time() -> float:
        return time.monotonic()

    @router.post("/window")
    async def begin_or_end() -> None:
        events.put(None)

    @router.post("/recording")
    async def add_recording(request: Request) -> None:
        events.put(Recording.parse(json.loads(await read_body(request, LONGEST_RECORDING))))

    @router.post("/failure")
    async def fail(request: Request) -> None:
        events.put(LatencyError(f"The client failed: {(await read_body(request, MAX_TEXT)).decode(errors='replace')}"))

    return router


@contextmanager
def _served(app: FastAPI, settings: Settings) -> Iterator[str]:
    """Run the server in a thread; yield its URL."""
    with listen(settings) as listener:
        server = WebServer(uvicorn_config(app, settings))
        thread = threading.Thread(target=server.run, args=([listener],), name="server")
        gc.freeze()  # as serve does
        thread.start()
        try:
            yield f"http://{settings.host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            gc.unfreeze()
