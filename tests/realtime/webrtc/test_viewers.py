"""Real connections that watch a session: they come, go, stall and storm, and nothing of them is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiortc.rtp import RTCP_PSFB_PLI, RtcpPsfbPacket

from realtime.session import Session, SessionContext
from realtime.sessions import NEWEST, Sessions, UnknownSession
from realtime.webrtc import viewers as viewers_module
from realtime.webrtc.peer import ice_transports
from realtime.webrtc.sdp import DRIVER, PUPPETEER, VIEWER, BadOffer, NoCommonCodec, Role
from realtime.webrtc.viewers import UnknownViewer, ViewersFull
from tests.support.fakes import LOOPBACK, FakeAnimator, FakePeer, FakeTracker, portrait
from tests.support.waiting import reached


class Stage:
    """A session that somebody drives, and who watches it."""

    def __init__(self, sessions: Sessions, session: Session, driver: FakePeer) -> None:
        self.sessions = sessions
        self.session = session
        self.driver = driver
        self.peers: list[FakePeer] = []

    async def watch(self, codec: str = "H264") -> FakePeer:
        peer = FakePeer(codec=codec, role=VIEWER)
        self.peers.append(peer)
        await peer.accept((await self.session.viewers.open(await peer.offer()))[1])
        return peer

    async def until(self, ready: Callable[[], bool]) -> None:
        await reached(ready)


def play(scene: Callable[[Stage], Awaitable[Any]], role: Role = DRIVER, codec: str = "H264") -> Any:
    """Open a session for a driver, let `scene` happen, and end all."""

    async def run() -> Any:
        sessions = Sessions(SessionContext(FakeAnimator(), FakeTracker, portrait(), LOOPBACK))
        driver = FakePeer(codec=codec, role=role)
        session, answer = await sessions.open(await driver.offer(), role=role)
        await driver.accept(answer)
        stage = Stage(sessions, session, driver)
        try:
            return await scene(stage)
        finally:
            for peer in (*stage.peers, driver):
                await peer.close()
            await sessions.close_all()

    return asyncio.run(run())


def sent_directions(answer: str) -> list[str]:
    return [line for line in answer.splitlines() if line in ("a=sendonly", "a=recvonly", "a=sendrecv", "a=inactive")]


def test_three_watch_a_stream_that_is_encoded_once() -> None:
    async def scene(stage: Stage) -> tuple[int, int, int]:
        for _ in range(3):
            await stage.watch()
        for peer in stage.peers:
            await peer.number()
        await stage.until(lambda: len(stage.session.viewers) == 3)
        return len(stage.session.viewers), stage.session.telemetry.broadcast.encoders, stage.driver.pictures.qsize()

    assert play(scene) == (3, 1, 0)  # the driver is sent nothing


def test_a_browsers_session_is_watched_in_its_own_codec() -> None:
    async def scene(stage: Stage) -> tuple[bool, int]:
        viewer = await stage.watch("VP8")
        await viewer.number()
        await stage.driver.number()
        with pytest.raises(NoCommonCodec, match="VP8"):
            await stage.watch("H264")
        return True, len(stage.session.viewers)

    assert play(scene, PUPPETEER, "VP8") == (True, 1)


@pytest.mark.parametrize(("offered", "answered"), [("recvonly", ["a=sendonly"]), ("sendrecv", ["a=sendonly"])])
def test_the_answer_goes_one_way(offered: str, answered: list[str]) -> None:
    async def scene(stage: Stage) -> list[str]:
        peer = FakePeer(role=VIEWER)
        stage.peers.append(peer)
        offer = (await peer.offer()).replace("a=recvonly", f"a={offered}")
        return sent_directions((await stage.session.viewers.open(offer))[1])

    assert play(scene) == answered


@pytest.mark.parametrize("offered", ["sendonly", "inactive"])
def test_an_offer_that_does_not_receive_is_refused(offered: str) -> None:
    async def scene(stage: Stage) -> int:
        peer = FakePeer(role=VIEWER)
        stage.peers.append(peer)
        offer = (await peer.offer()).replace("a=recvonly", f"a={offered}")
        with pytest.raises(BadOffer, match="recvonly or sendrecv"):
            await stage.session.viewers.open(offer)
        return len(stage.session.viewers)

    assert play(scene) == 0


def test_without_viewers_a_stream_is_not_encoded() -> None:
    async def scene(stage: Stage) -> list[int]:
        await stage.until(lambda: stage.session.telemetry.stats()["frames"]["animated"] > 5)
        before = stage.session.telemetry.broadcast.encoders
        viewer = await stage.watch()
        await viewer.number()
        during = stage.session.telemetry.broadcast.encoders
        await viewer.close()
        await stage.until(lambda: len(stage.session.viewers) == 0)
        await stage.until(lambda: stage.session.telemetry.broadcast.encoders == 0)
        return [before, during, stage.session.telemetry.broadcast.encoders]

    assert play(scene) == [0, 1, 0]


def test_one_that_never_reads_does_not_stop_the_others() -> None:
    async def scene(stage: Stage) -> set[int]:
        stalled, other = await stage.watch(), await stage.watch()
        await stalled.number()
        await other.number()
        for transport in ice_transports(stalled.connection):
            for protocol in transport.iceGatherer._connection._protocols:
                protocol.datagram_received = lambda data, addr: None
        seen: set[int] = set()
        while len(seen) < 60:  # more than were on their way
            seen.add(await other.number())
        return seen

    assert play(scene)


def test_a_storm_of_requests_does_not_spoil_the_others() -> None:
    async def scene(stage: Stage) -> set[int]:
        storming, other = await stage.watch(), await stage.watch()
        await storming.number()
        await other.number()
        receiver = storming.transceiver.receiver
        [ssrc] = receiver._RTCRtpReceiver__remote_streams  # type: ignore[attr-defined]
        seen: set[int] = set()
        while len(seen) < 30:
            for _ in range(5):
                await receiver._send_rtcp(RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=0, media_ssrc=ssrc))
            seen.add(await other.number())
        return seen

    assert play(scene)


def test_a_viewer_only_watches() -> None:
    async def scene(stage: Stage) -> tuple[str, float]:
        viewer = await stage.watch()
        reply = await viewer.ask('{"type": "options", "head": 0}')
        return reply, stage.session.options.head

    reply, head = play(scene)
    assert "only watch" in reply and head == 1.0


def test_one_leaves_and_the_others_stay() -> None:
    async def scene(stage: Stage) -> int:
        first = FakePeer(role=VIEWER)
        stage.peers.append(first)
        viewer, answer = await stage.session.viewers.open(await first.offer())
        await first.accept(answer)
        second = await stage.watch()
        await first.number()
        await second.number()
        await stage.session.viewers.close_one(viewer)
        with pytest.raises(UnknownViewer, match="may have left"):
            stage.session.viewers.peer(viewer)
        await second.number()
        return len(stage.session.viewers)

    assert play(scene) == 1


def test_who_never_connects_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers_module, "CONNECT_SECONDS", 0.2)

    async def scene(stage: Stage) -> list[int]:
        peer = FakePeer(role=VIEWER)
        stage.peers.append(peer)
        await stage.session.viewers.open(await peer.offer())
        before = len(stage.session.viewers)
        await stage.until(lambda: len(stage.session.viewers) == 0)
        return [before, len(stage.session.viewers)]

    assert play(scene) == [1, 0]


def test_there_are_places_for_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers_module, "MOST", 2)

    async def scene(stage: Stage) -> int:
        await stage.watch()
        await stage.watch()
        with pytest.raises(ViewersFull, match="2 viewers"):
            await stage.watch()
        return len(stage.session.viewers)

    assert play(scene) == 2


def test_the_end_of_a_session_ends_its_viewers() -> None:
    async def scene(stage: Stage) -> int:
        viewer = await stage.watch()
        await viewer.number()
        await stage.sessions.close(stage.session.id)
        await stage.until(lambda: viewer.connection.connectionState == "closed")
        return len(stage.session.viewers)

    assert play(scene) == 0


def test_the_newest_stream_has_a_name() -> None:
    async def scene(stage: Stage) -> bool:
        return stage.sessions.get(NEWEST) is stage.session

    assert play(scene) is True
    with pytest.raises(UnknownSession):
        play(scene, PUPPETEER)
