"""`python -m realtime.bench.latency_client URL`: the client of a latency measurement without a browser.

It is a process of its own, so that it does not take the interpreter from the server. It sends numbered pictures of a
driver, reads the numbers in what comes back, and reports to the server, as `latency.js` does in a browser.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import aiortc
import av
import cv2
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from pipeline.core.animator import Planes
from pipeline.imaging.i420 import to_planes
from realtime.bench.timecode import NUMBERS, read, write
from realtime.core.frame import CLOCK_RATE, Reception
from realtime.webrtc import aiortc_patches
from realtime.webrtc.codec import CodecName, Packet, TargetBitrate, new_encoder
from realtime.webrtc.ice import AddressRule
from realtime.webrtc.peer import hang_up, ice_transports
from realtime.webrtc.settings import MediaSettings

EXCHANGES = 50  # of clock readings, before and after
GRACE_SECONDS = 1.0  # after the window, for pictures still on their way
LOOPBACK = MediaSettings(strict=True)


class ServerClient:
    """The requests of the client to the server."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc

    def ask(self, method: str, path: str, body: str | None = None, kind: str = "application/json") -> str:
        """Return the text of the reply. Raise RuntimeError with the server's sentence if it refuses."""
        with contextlib.closing(http.client.HTTPConnection(self._host, timeout=20)) as connection:
            return self._ask(connection, method, path, body, kind)

    def _ask(self, connection: http.client.HTTPConnection, method: str, path: str, body: str | None, kind: str) -> str:
        connection.request(method, path, body, {"content-type": kind} if body else {})
        response = connection.getresponse()
        text = response.read().decode()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {text}")
        return text

    def compare_clocks(self) -> list[tuple[float, float, float]]:
        """Return (asked, told, heard) of some exchanges."""
        found = []
        with contextlib.closing(http.client.HTTPConnection(self._host, timeout=20)) as connection:
            for _ in range(EXCHANGES):
                asked = time.monotonic()
                told = float(self._ask(connection, "GET", "/latency/clock", None, ""))
                found.append((asked, told, time.monotonic()))
        return found


class NumberedCamera(MediaStreamTrack):
    """The driver's pictures in a loop, numbered and encoded."""

    kind = "video"

    def __init__(self, pictures: Sequence[Planes], codec: CodecName, fps: float) -> None:
        super().__init__()
        self.drawn: list[float] = []
        self.sent_bytes = 0
        self.bitrate = TargetBitrate()
        self.keyframe_wanted = False
        self._pictures = pictures
        self._encoder = new_encoder(codec)
        self._interval = 1 / fps
        self._start = time.monotonic()
        self._ticks = 0

    async def recv(self) -> Packet:
        await asyncio.sleep(self._start + self._ticks * self._interval - time.monotonic())
        behind = int((time.monotonic() - self._start) / self._interval)
        self._ticks = max(self._ticks, behind) + 1  # a camera does not catch up with frames it missed
        packet = await asyncio.to_thread(self._draw)
        self.sent_bytes += packet.size
        return packet

    def _draw(self) -> Packet:
        number = len(self.drawn)
        self.drawn.append(time.monotonic())
        planes = self._pictures[number % len(self._pictures)].copy()
        write(planes, number % NUMBERS)
        keyframe, self.keyframe_wanted = self.keyframe_wanted, False
        pts = int((self.drawn[-1] - self._start) * CLOCK_RATE)
        return self._encoder.encode(planes, pts, self.bitrate.bits_per_second, keyframe)

    def want_keyframe(self) -> None:
        self.keyframe_wanted = True


class LatencyViewer:
    """The connection: it sends the camera, and notes what comes back."""

    def __init__(self, camera: NumberedCamera) -> None:
        self.shown: list[tuple[int | None, float, float, float, float]] = []
        self.first = asyncio.Event()
        self._camera = camera
        self._reader: asyncio.Task[None] | None = None
        self.connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self.connection.on("track", self._on_track)

    async def offer(self, codec: CodecName) -> str:
        aiortc_patches.prepare()
        transceiver = self.connection.addTransceiver(self._camera)
        aiortc_patches.patch_low_latency(transceiver)
        aiortc_patches.patch_rtcp_feedback(transceiver.sender, self._camera.want_keyframe, self._camera.bitrate.on_remb)
        known = transceiver.receiver.getCapabilities("video")
        assert known is not None  # aiortc supports video
        transceiver.setCodecPreferences([found for found in known.codecs if found.name.upper() in (codec, "RTX")])
        for transport in ice_transports(self.connection):
            aiortc_patches.patch_ice_address(transport, LOOPBACK, AddressRule.of(LOOPBACK))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return str(self.connection.localDescription.sdp)

    async def close(self) -> None:
        await hang_up(self.connection)
        if self._reader:
            self._reader.cancel()

    async def received_bytes(self) -> int:
        """Return the bytes that the transports have received."""
        report = await self.connection.getStats()
        return sum(entry.bytesReceived for entry in report.values() if entry.type == "transport")

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._reader = asyncio.create_task(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                self._note(cast(av.VideoFrame, await track.recv()))

    def _note(self, frame: av.VideoFrame) -> None:
        now = time.monotonic()
        number = read(cast(Planes, frame.to_ndarray(format="yuv420p")))
        came = cast(Reception, frame.opaque)
        self.shown.append((number, now, came.arrived, came.released - came.arrived, now - came.released))
        if number is not None:
            self.first.set()


async def measure(url: str) -> None:
    """Measure as the server's plan says, and report to the server."""
    server = ServerClient(url)
    plan: dict[str, Any] = json.loads(server.ask("GET", "/latency/plan"))
    pictures = [_decode(jpeg) for jpeg in json.loads(server.ask("GET", "/latency/driver"))]
    camera = NumberedCamera(pictures, plan["codec"], plan["fps"])
    exchanges = server.compare_clocks()
    viewer = LatencyViewer(camera)
    try:
        offered = time.monotonic()
        answer = server.ask("POST", "/session", await viewer.offer(plan["codec"]), "application/sdp")
        await viewer.connection.setRemoteDescription(aiortc.RTCSessionDescription(sdp=answer, type="answer"))
        recording = await _record(server, plan, camera, viewer)
    finally:
        await viewer.close()
    exchanges += server.compare_clocks()
    recording["client"] = f"aiortc {aiortc.__version__}"
    recording["first_picture"] = viewer.shown[0][1] - offered
    recording["exchanges"] = exchanges
    server.ask("POST", "/latency/recording", json.dumps(recording))


async def _record(
    server: ServerClient, plan: dict[str, Any], camera: NumberedCamera, viewer: LatencyViewer
) -> dict[str, Any]:
    await asyncio.wait_for(viewer.first.wait(), plan["patience"])
    await asyncio.sleep(plan["warm_up"])
    before = camera.sent_bytes, await viewer.received_bytes()
    await asyncio.to_thread(server.ask, "POST", "/latency/window")
    start = time.monotonic()
    await asyncio.sleep(plan["seconds"])
    end = time.monotonic()
    await asyncio.to_thread(server.ask, "POST", "/latency/window")
    after = camera.sent_bytes, await viewer.received_bytes()
    await asyncio.sleep(GRACE_SECONDS)
    up, down = (8 * (later - earlier) / (end - start) for earlier, later in zip(before, after, strict=True))
    return {
        "start": start,
        "end": end,
        "drawn": camera.drawn,
        "shown": viewer.shown,
        "bitrate": {"up": up, "down": down},
    }


def _decode(jpeg: str) -> Planes:
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(jpeg), np.uint8), cv2.IMREAD_COLOR)
    return to_planes(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


if __name__ == "__main__":
    sys.setswitchinterval(0.001)
    cv2.setNumThreads(1)
    asyncio.run(measure(sys.argv[1]))
