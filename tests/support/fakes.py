"""Fakes of the slow parts, and a peer. Pictures carry a number, so that a test knows which frame it sees."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from pipeline.core.animator import Capability, Cue, DrivingFrame, Layout, Motion, Picture, Portrait, Progress
from pipeline.face.face import Face
from pipeline.imaging.i420 import laid_out
from realtime.webrtc import aiortc_patches
from realtime.webrtc.ice import AddressRule
from realtime.webrtc.peer import hang_up, ice_transports
from realtime.webrtc.sdp import PUPPETEER, VIEWER, Role
from realtime.webrtc.settings import MediaSettings
from tests.support.faces import make_face
from tests.support.waiting import PATIENCE

SIZE = 128  # blocks of 16 pixels: whole macroblocks, so that a codec keeps them apart
BITS = 8
MARK = SIZE // BITS
LOOPBACK = MediaSettings(strict=True)
FACE = make_face()
AT_REST = 0  # the number on a portrait that nobody drives


def numbered(
    number: int, width: int = SIZE, height: int = SIZE, colour: tuple[int, int, int] = (90, 90, 90)
) -> Picture:
    """Draw a picture whose top row of blocks encodes `number`, 0..255, in black and white that any codec keeps."""
    picture = np.full((height, width, 3), colour, np.uint8)
    for bit in range(BITS):
        picture[:MARK, bit * MARK : (bit + 1) * MARK] = 255 if number >> bit & 1 else 0
    return picture


def number_of(picture: Picture) -> int:
    """Read the number that `numbered` wrote."""
    middle = picture[MARK // 2, MARK // 2 : SIZE : MARK].mean(-1)
    return sum(1 << bit for bit in range(BITS) if middle[bit] > 127)


def in_order(numbers: Iterable[int]) -> bool:
    """Return whether the numbers of a NumberedTrack never step back."""
    return all((after - before) % 255 < 128 for before, after in pairwise(numbers))


def portrait(colour: tuple[int, int, int] = (90, 90, 90)) -> Portrait:
    return Portrait("fake", np.full((SIZE, SIZE, 3), colour, np.uint8), FACE, ())


class FakeTracker:
    """Finds a face in every picture except those with number 0; the face's score carries the number."""

    faces = 1

    def track(self, picture: Picture, time: float, smoothing: float = 0.5) -> Face | None:
        number = number_of(picture)
        return replace(FACE, score=number / 255) if number else None


class FakeAnimator:
    """Draws the number of the driver's frame on the portrait's colour; a portrait at rest shows 0."""

    name = "fake"
    supports: frozenset[str] = frozenset()
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, work: Callable[[Cue], None] = lambda cue: None) -> None:
        self._work = work

    def warm_up(self, progress: Progress) -> None: ...

    def prepare(self, picture: Picture) -> Portrait:
        return replace(portrait(), picture=picture)

    def read_motion(self, frames: Sequence[DrivingFrame]) -> list[Motion | None]:
        return [Motion(frame.face) if frame.face else None for frame in frames]

    def animate(self, cues: Sequence[Cue], layout: Layout = "rgb") -> list[Picture]:
        return [laid_out(self._draw(cue), layout) for cue in cues]

    def _draw(self, cue: Cue) -> Picture:
        self._work(cue)
        driven = cue.motion is not None and cue.blend > 0
        number = round(cue.motion.face.score * 255) if driven and cue.motion else AT_REST
        red, green, blue = cue.portrait.picture[-1, -1]
        return numbered(number, colour=(int(red), int(green), int(blue)))


class NumberedTrack(MediaStreamTrack):
    """A driver's camera at 30 fps whose frames count from 1 to 255 in a loop; a set `number` is sent all the time."""

    kind = "video"

    def __init__(self, width: int = SIZE, height: int = SIZE) -> None:
        super().__init__()
        self.size = width, height
        self.number: int | None = None
        self._count = 0
        self._start: float | None = None

    async def recv(self) -> av.VideoFrame:
        now = asyncio.get_running_loop().time()
        self._start = now if self._start is None else self._start
        await asyncio.sleep(max(0.0, self._start + self._count / 30 - now))
        number = self._count % 255 + 1 if self.number is None else self.number
        frame = av.VideoFrame.from_ndarray(numbered(number, *self.size), format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = self._count, Fraction(1, 30)
        self._count += 1
        return frame


class FakePeer:
    """The browser's side of a connection, on loopback only."""

    def __init__(
        self,
        camera: MediaStreamTrack | None = None,
        codec: str = "H264",
        settings: MediaSettings = LOOPBACK,
        role: Role = PUPPETEER,
    ) -> None:
        self.camera = camera or NumberedTrack()
        self.pictures: asyncio.Queue[Picture] = asyncio.Queue()
        self.timestamps: list[int] = []  # RTP timestamps of the received pictures
        self.messages: asyncio.Queue[str] = asyncio.Queue()
        self._settings = settings
        self._codec = codec
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        source = "video" if role is VIEWER else self.camera
        self.transceiver = self.connection.addTransceiver(source, direction=role.offered[0])
        self.channel = self.connection.createDataChannel("control")
        self.channel.on("message", self.messages.put_nowait)
        self.opened = asyncio.Event()
        self.channel.on("open", self.opened.set)
        self.connection.on("track", self._on_track)
        self._reader: asyncio.Task[None] | None = None

    async def offer(self) -> str:
        aiortc_patches.patch_low_latency(self.transceiver)
        capabilities = self.transceiver.receiver.getCapabilities("video").codecs
        self.transceiver.setCodecPreferences([c for c in capabilities if c.name.upper() == self._codec])
        for transport in ice_transports(self.connection):
            aiortc_patches.patch_ice_address(transport, self._settings, AddressRule.of(self._settings))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def accept(self, answer: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))

    async def picture(self) -> Picture:
        """Wait for the next picture."""
        return await asyncio.wait_for(self.pictures.get(), PATIENCE)

    async def number(self, *expected: int) -> int:
        """Wait for a picture with one of the expected numbers, or for any driven one if none are given."""
        async with asyncio.timeout(PATIENCE):
            while True:
                number = number_of(await self.picture())
                if number in expected or (not expected and number != AT_REST):
                    return number

    async def ask(self, message: str) -> str:
        """Send a control message and wait for the reply."""
        await asyncio.wait_for(self.opened.wait(), PATIENCE)
        self.channel.send(message)
        return await asyncio.wait_for(self.messages.get(), PATIENCE)

    async def close(self) -> None:
        await hang_up(self.connection)
        if self._reader:
            self._reader.cancel()

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._reader = asyncio.create_task(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.VideoFrame)
                self.timestamps.append(frame.opaque.timestamp)
                self.pictures.put_nowait(frame.to_ndarray(format="rgb24"))


async def offer_of(codec: str = "H264", role: Role = PUPPETEER) -> str:
    """Return an offer of a peer that no longer exists."""
    peer = FakePeer(codec=codec, role=role)
    try:
        return await peer.offer()
    finally:
        await peer.close()
