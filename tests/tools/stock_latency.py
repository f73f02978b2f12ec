"""Compare unmodified aiortc with this project: `python -m tests.tools.stock_latency [--seconds 15] [--rounds 3]`.

Both take turns with the same animator, camera, client and measurement. "stock" does what aiortc's own example does:
work in `recv()`, aiortc's jitter buffer, decoder and encoder, no requested playout delay. Only the media address is
set as in this project. Prints the medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import av
import cv2
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

from pipeline.bench.host import result
from pipeline.bench.tables import markdown_table
from pipeline.core.animator import DrivingFrame, Portrait
from pipeline.core.options import AnimateOptions
from pipeline.driving.driver_state import DriverState
from realtime.bench.glass_to_glass import analyse
from realtime.bench.timecode import CodeCarrier
from realtime.webrtc import aiortc_patches
from realtime.webrtc.ice import AddressRule
from realtime.webrtc.peer import ice_transports
from tests.support.fakes import LOOPBACK
from web.cli.latency import Event, Plan, driver_pictures, observe, routes
from web.core.program import STATIC
from web.core.settings import Settings
from web.services.engine import Engine, load_engine

FIGURES = ("p50", "p95", "p99")
ROOT = Path(__file__).parents[2]


class TransformTrack(MediaStreamTrack):
    """Animates the portrait in `recv()`, from the driver's frame."""

    kind = "video"

    def __init__(self, track: MediaStreamTrack, engine: Engine, carrier: CodeCarrier, portrait: Portrait) -> None:
        super().__init__()
        self._track, self._carrier, self._portrait = track, carrier, portrait
        self._tracker = engine.new_tracker()
        self._driver = DriverState()
        self._options = AnimateOptions()

    async def recv(self) -> av.VideoFrame:
        frame: Any = await self._track.recv()
        picture, time = frame.to_ndarray(format="rgb24"), float(frame.time)
        seen = DrivingFrame(picture, self._tracker.track(picture, time), time, self._driver.motion)
        [motion] = self._carrier.read_motion([seen])
        cue = self._driver.cue(self._portrait, self._options, motion, time, picture)
        [planes] = self._carrier.animate([cue], "i420")
        shown = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        shown.pts, shown.time_base = frame.pts, frame.time_base
        return shown


def stock_app(engine: Engine, carrier: CodeCarrier) -> FastAPI:
    app = FastAPI()
    app.state.sessions = []
    app.mount("/client", StaticFiles(directory=STATIC))
    connections = []

    @app.post("/session")
    async def open_session(request: Request) -> Response:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connections.append(connection)
        portrait = engine.portraits.first.portrait
        connection.on("track", lambda track: connection.addTrack(TransformTrack(track, engine, carrier, portrait)))
        offer = (await request.body()).decode()
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        for transport in ice_transports(connection):
            aiortc_patches.patch_ice_address(transport, LOOPBACK, AddressRule.of(LOOPBACK))
        await connection.setLocalDescription(await connection.createAnswer())
        return Response(connection.localDescription.sdp, 201, media_type="application/sdp")

    return app


def measure_stock(codec: str, seconds: int, output: Path) -> None:
    """Measure one round in this process, in which no aiortc patch may have been applied."""
    settings = Settings(port=0, animator="meshwarp", media=LOOPBACK)
    engine = load_engine(settings, lambda done, total: None)
    carrier = CodeCarrier(engine.loaded.animator)
    plan, events = Plan("browser", seconds, codec="H264" if codec == "h264" else "VP8"), Queue[Event]()
    app = stock_app(engine, carrier)
    app.include_router(routes(plan, driver_pictures(), events))
    recording, watch = observe(app, settings, plan, events, lambda done, total: None)
    measured = analyse(recording, watch.served({}), plan.fps)
    output.write_text(json.dumps(measured.figures | watch.resources()))


def round_of(tuned: bool, codec: str, seconds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        options = ["--codec", codec, "--seconds", str(seconds), "--json", str(output)]
        latency = ["run.py", "latency", "--client", "browser", "--animator", "meshwarp"]
        command = latency if tuned else ["-m", "tests.tools.stock_latency", "--stock"]
        subprocess.run([sys.executable, *command, *options], cwd=ROOT, check=True, capture_output=True)
        figures: dict[str, Any] = json.loads(output.read_text())
        return figures


def side_by_side(codec: str, seconds: int, rounds: int) -> Iterator[dict[str, Any]]:
    """The medians of the rounds, of either server."""
    servers = ("aiortc's example", "this project")
    measured = [(server, round_of(server == servers[1], codec, seconds)) for _ in range(rounds) for server in servers]
    for server in servers:
        of = [figures for name, figures in measured if name == server]
        ranks = {rank: statistics.median(f["glass_to_glass_ms"][rank] for f in of) for rank in FIGURES}
        others = {key: statistics.median(f[key] for f in of) for key in ("fps", "freezes")}
        cores = statistics.median(f["cpu_cores"]["server"] for f in of)
        yield {"codec": codec, "server": server, **ranks, **others, "cores": cores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stock", action="store_true", help=argparse.SUPPRESS)  # one round in this process
    parser.add_argument("--codec", choices=("h264", "vp8"), help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    chosen = parser.parse_args()
    if chosen.stock:
        sys.setswitchinterval(0.001)
        cv2.setNumThreads(1)
        measure_stock(chosen.codec, chosen.seconds, chosen.json)
        return
    found = [row for codec in ("h264", "vp8") for row in side_by_side(codec, chosen.seconds, chosen.rounds)]
    heads = ("codec", "server", *FIGURES, "fps", "freezes", "cores")
    rows = ([value if isinstance(value, str) else f"{value:.3g}" for value in row.values()] for row in found)
    print("\n".join(markdown_table(heads, rows)))
    if chosen.json:
        words = shlex.join(["python", "-m", "tests.tools.stock_latency", *sys.argv[1:]])
        chosen.json.write_text(json.dumps(result(words, {"stock": found}), indent=2) + "\n")


if __name__ == "__main__":
    main()
