"""A peer and a real session on loopback: frames, options, messages, overload, failure, and that nothing is left."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import math
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc import RTCPeerConnection

from pipeline.core.animator import Cue, DrivingFrame, Picture, Planes
from pipeline.core.options import OptionError
from pipeline.face.face import Face
from realtime.driver import frame_rate, presence
from realtime.metrics.page_report import PageReport
from realtime.metrics.session_stats import STAGES
from realtime.render_loop import SEARCH_SECONDS
from realtime.session import Session, SessionContext
from realtime.sessions import Sessions, SessionsFull, UnknownSession
from realtime.webrtc.codec import CodecName, Packet
from realtime.webrtc.peer import ice_transports
from realtime.webrtc.sdp import BadOffer
from realtime.webrtc.settings import MediaSettings
from tests.support.fakes import (
    AT_REST,
    LOOPBACK,
    SIZE,
    FakeAnimator,
    FakePeer,
    FakeTracker,
    NumberedTrack,
    in_order,
    number_of,
    portrait,
)
from tests.support.waiting import PATIENCE, new_threads, reached

RED = (200, 60, 60)
Scene = Callable[[Sessions, FakePeer, Session], Awaitable[Any]]


def play(
    scene: Scene,
    *,
    animator: FakeAnimator | None = None,
    tracker: Callable[[], Any] = FakeTracker,
    camera: NumberedTrack | None = None,
    codec: CodecName = "H264",
    media: MediaSettings = LOOPBACK,
) -> Any:
    """Connect a peer to a session, let `scene` happen, and end both."""

    async def run() -> Any:
        sessions = Sessions(SessionContext(animator or FakeAnimator(), tracker, portrait(), media))
        peer = FakePeer(camera, codec)
        try:
            session, answer = await sessions.open(await peer.offer())
            await peer.accept(answer)
            return await scene(sessions, peer, session)
        finally:
            await peer.close()
            await sessions.close_all()

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def never_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """How busy this machine is changes no rate and gives no warning."""
    monkeypatch.setattr(frame_rate, "LOOK_SECONDS", math.inf)


async def reach(session: Session, peer: FakePeer, state: str) -> str:
    """Watch pictures until the session is in `state`."""
    async with asyncio.timeout(PATIENCE):
        while session.state != state:
            await peer.picture()
    return session.state


def colour(picture: Picture) -> tuple[int, ...]:
    return tuple(int(value) for value in picture[-8:, -8:].mean((0, 1)).round(-1))


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_the_puppet_follows_and_the_rest_comes_first(codec: CodecName) -> None:
    drawn: list[Cue] = []

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> list[int]:
        numbers: list[int] = []
        while len(set(numbers)) < 10:
            numbers.append(await peer.number())
        return numbers

    assert in_order(play(scene, codec=codec, animator=FakeAnimator(drawn.append)))
    assert drawn[0].blend == 0


def test_each_frame_comes_with_its_time_and_the_motion_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[DrivingFrame] = []
    read = FakeAnimator.read_motion
    monkeypatch.setattr(FakeAnimator, "read_motion", lambda self, frames: seen.extend(frames) or read(self, frames))

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> None:
        await reached(lambda: len(seen) > 5)

    play(scene)
    assert seen[0].previous is None
    for before, frame in itertools.pairwise(seen):
        assert frame.previous and before.face and frame.previous.face is before.face
        assert frame.time > before.time


def test_stats_tell_what_happened() -> None:
    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> dict[str, Any]:
        await peer.number(*range(20, 255))
        await reach(session, peer, "live")
        return session.telemetry.stats()

    stats = play(scene)
    about = {"state", "animator", "rate", "hint", "frozen", "target_mbps", "viewers", "audio"}
    about |= {"virtual_camera", "recording"}
    assert set(stats) == about | {"fps", "frames", "drops", "stages_ms", "page", "warnings"}
    assert (stats["state"], stats["animator"], stats["warnings"]) == ("live", "fake", [])
    assert (stats["rate"], stats["page"]) == (None, None)
    assert set(stats["stages_ms"]) == set(STAGES)
    assert stats["stages_ms"]["server"]["p50"] > 0
    frames = stats["frames"]
    assert frames["received"] - 2 <= frames["animated"] + frames["dropped"] <= frames["received"]
    assert stats["fps"]["in"] > 0 and stats["fps"]["out"] > 0


def test_control_messages() -> None:
    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> list[dict[str, Any]]:
        messages = [
            '{"type": "options", "options": {"head": 0.5, "mirror": true}}',
            '{"type": "calibrate"}',
            '{"type": "stats"}',
            '{"type": "ping", "id": 7}',
        ]
        return [json.loads(await peer.ask(message)) for message in messages]

    options, calibrated, stats, pong = play(scene)
    assert options["type"] == "options"
    assert options["options"] | {"head": 0.5, "mirror": True, "mouth": 1.0} == options["options"]
    assert calibrated == {"type": "calibrated"}
    assert stats["stats"]["animator"] == "fake"
    assert pong == {"type": "pong", "id": 7}


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 60000, "not JSON"),
        ("[]", "JSON object"),
        ("1", "JSON object"),
        ("{}", "'type' must be"),
        ('{"type": ["ping"]}', "'type' must be"),
        ('{"type": "options"}', "'options' must be an object"),
        ('{"type": "options", "options": [1]}', "'options' must be an object"),
        ('{"type": "options", "options": {"head": 99}}', "head must be a number from 0"),
        ('{"type": "options", "options": {"head": NaN}}', "head must be a number from 0"),
        ('{"type": "options", "options": {"nose": 1}}', "no option 'nose'"),
        ('{"type": "freeze"}', "'on' must be true or false"),
        ('{"type": "freeze", "on": 1}', "'on' must be true or false"),
        ('{"type": "view", "latencies": 7}', "'latencies' must be a list"),
        ('{"type": "view", "fps": -1}', "'fps' must be a number from 0 to 1e12"),
        ('{"type": "view", "since": "now"}', "'since' must be a time"),
    ],
)
def test_bad_messages_are_answered_with_a_sentence(message: str, detail: str) -> None:
    async def scene() -> Any:
        session = Session(SessionContext(FakeAnimator(), FakeTracker, portrait(), LOOPBACK), lambda: None)
        try:
            return json.loads(session._on_message(message))
        finally:
            await session.close()

    reply = asyncio.run(scene())
    assert reply["type"] == "error"
    assert detail in reply["detail"]


def test_the_page_is_told_when_each_picture_was_captured_and_tells_what_it_saw() -> None:
    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> tuple[Any, ...]:
        while not session.telemetry.frames(0)["frames"]:  # the first sender report
            await peer.picture()
        first = json.loads(await peer.ask('{"type": "view", "id": 3, "latencies": [30, 40.5, 50], "fps": 29}'))
        await peer.number()
        await peer.number()
        message = {"type": "view", "id": 4, "since": first["time"], "latencies": [60], "freezes": 1, "up": 2e6}
        second = json.loads(await peer.ask(json.dumps(message)))
        return first, second, session.telemetry.stats()["page"], list(peer.timestamps)

    first, second, page, timestamps = play(scene)
    assert (first["type"], first["id"], second["id"]) == ("frames", 3, 4)
    assert second["frames"] and not {row[0] for row in first["frames"]} & {row[0] for row in second["frames"]}
    for timestamp, captured, received, sent in first["frames"] + second["frames"]:
        assert timestamp in timestamps or timestamp > timestamps[-1]
        assert received <= sent <= second["time"]
        assert abs(received - captured) < 30  # on one clock; this peer's reports are of its last packet: late
    assert page == {
        "glass_to_glass_ms": {"p50": 40.5, "p95": 60.0, "p99": 60.0},
        "fps": 0.0,
        "freezes": 1,
        "dropped": 0,
        "bitrate_mbps": {"up": 2.0, "down": 0.0},
    }


def test_messages_that_are_too_long_or_no_text_are_left_alone() -> None:
    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> str:
        await peer.opened.wait()
        peer.channel.send(b'{"type": "ping"}')
        peer.channel.send('{"type": "ping", "id": "' + "x" * 65536 + '"}')
        return await peer.ask('{"type": "ping", "id": 1}')

    assert json.loads(play(scene)) == {"type": "pong", "id": 1}


def test_options_and_portrait_act_at_once() -> None:
    seen: list[float] = []

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> None:
        await peer.number()
        session.set_portrait(portrait(RED))
        session.set_options({"head": 0.25})
        with pytest.raises(OptionError):
            session.set_options({"head": -1})
        async with asyncio.timeout(PATIENCE):
            while colour(await peer.picture()) != RED:
                pass

    play(scene, animator=FakeAnimator(lambda cue: seen.append(cue.options.head)))
    assert seen[-1] == 0.25
    assert set(seen) == {1.0, 0.25}


def test_calibration_is_begun_in_the_sessions_thread() -> None:
    states: list[str] = []

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> None:
        await peer.number()
        session._render_loop._driver.calibrate = lambda: states.append(threading.current_thread().name)  # type: ignore[method-assign]
        session.calibrate()
        while not states:
            await peer.picture()

    play(scene)
    assert len(states) == 1 and states[0].startswith("session-")


def test_without_a_face_the_portrait_rests_and_the_page_is_told() -> None:
    camera = NumberedTrack()
    camera.number = AT_REST

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> list[str]:
        states = [session.state]
        session._stats.first_frame = time.monotonic() - SEARCH_SECONDS - 1
        states.append(session.state)
        camera.number = 7
        await peer.number(7)
        await reach(session, peer, "live")
        camera.number = AT_REST
        await peer.number(AT_REST)
        await reach(session, peer, "lost")
        return states

    assert play(scene, camera=camera) == ["connecting", "lost"]


def test_when_frames_stop_the_portrait_goes_to_rest_and_pictures_go_on() -> None:
    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> str:
        await peer.number()
        peer.transceiver.sender.replaceTrack(None)
        await peer.number(AT_REST)
        return await reach(session, peer, "lost")

    assert play(scene) == "lost"


def test_a_slow_animator_lowers_the_rate_and_not_the_freshness() -> None:
    """Its work on one picture lasts until ten more frames came; then it is given the newest of them."""
    go_on = threading.Semaphore(0)
    drawn: list[int] = []

    def work(cue: Cue) -> None:
        if cue.motion:
            drawn.append(round(cue.motion.face.score * 255))
            go_on.acquire()

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> int:
        def received() -> int:
            return int(session.telemetry.stats()["frames"]["received"])

        try:
            await reached(lambda: drawn)
            for count in range(1, 4):
                before = received()
                await reached(lambda before=before: received() >= before + 10)
                go_on.release()
                await reached(lambda count=count: len(drawn) > count)
            return int(session.telemetry.stats()["frames"]["dropped"])
        finally:
            go_on.release(1000)

    assert play(scene, animator=FakeAnimator(work)) >= 3 * 9
    assert all((after - before) % 255 >= 10 for before, after in itertools.pairwise(drawn[:4]))


def test_the_driver_is_asked_for_what_can_be_drawn_and_a_warning_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    pace, works = frame_rate.Pace(), [0.0]
    monkeypatch.setattr(frame_rate, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(frame_rate, "CALM_SECONDS", 0.0)
    monkeypatch.setattr(frame_rate, "decide", lambda before, work, offered: works.append(work) or pace)

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> dict[str, Any]:
        nonlocal pace
        pace = frame_rate.Pace(8, 10.0, 30.0)
        await reached(lambda: session.telemetry.stats()["warnings"])
        slow = session.telemetry.stats()
        pace = frame_rate.Pace()
        await reached(lambda: not session.telemetry.stats()["warnings"])
        assert session.telemetry.stats()["rate"] is None
        return slow

    slow = play(scene, animator=FakeAnimator(lambda cue: time.sleep(0.02)))
    assert slow["rate"] == 8 and max(works) >= 0.02
    [warning] = slow["warnings"]
    assert "the camera is asked for 8, not 30;" in warning


def test_a_failing_stage_shows_the_portrait_at_rest_and_goes_on() -> None:
    class Stumbling(FakeTracker):
        def track(self, picture: Picture, time: float, smoothing: float = 0.5) -> Face | None:
            if number_of(picture) == 9:
                raise ZeroDivisionError("stumbled")
            return super().track(picture, time, smoothing)

    camera = NumberedTrack()

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> dict[str, Any]:
        await peer.number()
        camera.number = 9
        await reach(session, peer, "error")
        await peer.number(AT_REST)
        camera.number = 11
        await reach(session, peer, "live")
        return session.telemetry.stats()

    stats = play(scene, tracker=Stumbling, camera=camera)
    assert stats["warnings"] == ["A picture failed (ZeroDivisionError: stumbled); the portrait at rest was shown."]


def test_a_broken_animator_is_an_error_and_not_the_end() -> None:
    def work(cue: Cue) -> None:
        raise ValueError("broken")

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> tuple[str, int]:
        while session.state != "error":
            await asyncio.wait_for(peer.opened.wait(), PATIENCE)
            await peer.ask('{"type": "ping"}')
        return session.state, peer.pictures.qsize()

    assert play(scene, animator=FakeAnimator(work)) == ("error", 0)


def test_a_session_whose_tracker_cannot_be_made_ends() -> None:
    def no_tracker() -> FakeTracker:
        raise OSError("no model")

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> int:
        await session._thread_ended.wait()
        await asyncio.sleep(0)
        return len(sessions)

    assert play(scene, tracker=no_tracker) == 0


def test_a_lost_picture_is_answered_with_a_keyframe() -> None:
    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> list[bool]:
        await peer.number()
        wanted: list[bool] = []
        encode = session._broadcast.encode

        def encode_and_note(shown: Planes) -> Packet | None:
            packet = encode(shown)
            wanted.append(bool(packet and packet.is_keyframe))
            return packet

        session._broadcast.encode = encode_and_note  # type: ignore[method-assign]
        await peer.transceiver.receiver._send_rtcp_pli(session._peer._connection.getSenders()[0]._ssrc)
        while not any(wanted):
            await peer.picture()
        for _ in range(5):
            await peer.picture()
        return wanted

    assert play(scene).count(True) == 1


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_lost_packets_do_not_end_the_show(codec: CodecName) -> None:
    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> float:
        await peer.number()
        for connection in (peer.connection, session._peer._connection):
            lose_every(15, connection)
        before = session.telemetry.stats()["frames"]["animated"]
        for _ in range(30):
            await peer.number()
        return 30 / (session.telemetry.stats()["frames"]["animated"] - before)

    assert play(scene, codec=codec) > 0.3


def lose_every(count: int, connection: RTCPeerConnection) -> None:
    """Of the datagrams that arrive, lose each `count`th."""
    for protocol in connection.getSenders()[0].transport.transport.iceGatherer._connection._protocols:
        receive, arrived = protocol.datagram_received, itertools.count(1)

        def impaired(data: bytes, addr: Any, receive: Any = receive, arrived: Iterator[int] = arrived) -> None:
            if next(arrived) % count:
                receive(data, addr)

        protocol.datagram_received = impaired


def test_odd_sizes_and_changes_of_size_are_followed() -> None:
    class Resizing(NumberedTrack):
        async def recv(self) -> Any:
            frame = await super().recv()
            self.size = (160, 128) if self._count > 15 else (192, 144)
            return frame

    sizes: set[tuple[int, ...]] = set()

    class Watching(FakeTracker):
        def track(self, picture: Picture, time: float, smoothing: float = 0.5) -> Face | None:
            sizes.add(picture.shape)
            return super().track(picture, time, smoothing)

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> None:
        await peer.number(*range(25, 255))

    play(scene, camera=Resizing(), tracker=Watching)
    assert {(144, 192, 3), (128, 160, 3)} <= sizes


def test_the_register_is_limited_and_forgets() -> None:
    async def run() -> None:
        sessions = Sessions(SessionContext(FakeAnimator(), FakeTracker, portrait(), LOOPBACK), limit=1)
        peer = FakePeer()
        offer = await peer.offer()
        session, _ = await sessions.open(offer)
        assert sessions.get(session.id) is session
        assert len(session.id) >= 22  # 128 bits
        with pytest.raises(SessionsFull, match="in use"):
            await sessions.open(offer)
        await sessions.close(session.id)
        assert (len(sessions), session.state) == (0, "idle")
        for call in (lambda: sessions.close(session.id), lambda: sessions.close("x")):
            with pytest.raises(UnknownSession, match="no such session"):
                await call()
        await sessions.open(offer)
        await sessions.close_all()
        await peer.close()
        assert len(sessions) == 0

    asyncio.run(run())


def test_a_refused_offer_takes_no_place() -> None:
    async def run() -> None:
        sessions = Sessions(SessionContext(FakeAnimator(), FakeTracker, portrait(), LOOPBACK), limit=1)
        for _ in range(3):
            with pytest.raises(BadOffer):
                await sessions.open("v=0")
        assert len(sessions) == 0
        await sessions.close_all()

    asyncio.run(run())


def test_without_a_free_port_the_register_is_full() -> None:
    from tests.realtime.webrtc.test_ice import free_ports

    async def run() -> None:
        media = MediaSettings(strict=True, ports=free_ports(1))
        sessions = Sessions(SessionContext(FakeAnimator(), FakeTracker, portrait(), media))
        peer = FakePeer()
        offer = await peer.offer()
        await sessions.open(offer)
        with pytest.raises(SessionsFull, match="range"):
            await sessions.open(offer)
        assert len(sessions) == 1
        await sessions.close_all()
        await peer.close()

    asyncio.run(run())


def test_nobody_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> bool:
        monkeypatch.setattr(presence, "CONNECT_SECONDS", 0.05)
        monkeypatch.setattr(presence, "WATCH_SECONDS", 0.02)
        sessions = Sessions(SessionContext(FakeAnimator(), FakeTracker, portrait(), LOOPBACK))
        peer = FakePeer()
        session, _ = await sessions.open(await peer.offer())
        await asyncio.wait_for(session._thread_ended.wait(), PATIENCE)
        await peer.close()
        await sessions.close_all()
        return len(sessions) == 0

    assert asyncio.run(run())


def test_silence_ends_a_session_and_messages_alone_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(presence, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(presence, "WATCH_SECONDS", 0.02)

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> list[int]:
        nonlocal now
        await peer.ask('{"type": "ping"}')
        peer.transceiver.sender.replaceTrack(None)
        for _ in range(3):
            now += 0.9 * presence.SILENCE_SECONDS
            await peer.ask('{"type": "ping"}')
            await asyncio.sleep(0.1)
        kept = len(sessions)
        while not session._thread_ended.is_set():
            now += 1.1 * presence.SILENCE_SECONDS
            await asyncio.sleep(0.1)
        return [kept, len(sessions)]

    assert play(scene) == [1, 0]


def test_a_peer_that_hangs_up_ends_its_session() -> None:
    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> int:
        await peer.number()
        await peer.close()
        await asyncio.wait_for(session._thread_ended.wait(), PATIENCE)
        return len(sessions)

    assert play(scene) == 0


def test_the_end_of_a_session_is_one_line_without_names(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "realtime")
    names: list[str] = []

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> None:
        await peer.number()
        for connection in (peer.connection, session._peer._connection):
            names.extend(transport.iceGatherer._connection.local_username for transport in ice_transports(connection))
        names.extend([session.id, "127.0.0.1", "::1", socket.gethostname()])
        await sessions.close(session.id)

    play(scene)
    told = [json.loads(record.getMessage()) for record in caplog.records if record.name == "realtime.metrics.event_log"]
    [end] = [line for line in told if line["event"] == "session ended"]
    assert (end["reason"], end["codec"], end["animator"], end["errors"]) == ("asked to", "H264", "fake", {})
    assert end["seconds"] >= 0 and end["frames"]["sent"] > 0 and end["page"] is None
    assert set(end) == {
        *("time", "event", "reason", "seconds", "codec", "errors"),
        *("animator", "frames", "drops", "stages_ms", "page"),
    }
    assert len(names) > 4
    assert not [name for name in names if name in caplog.text]


def test_what_ended_sessions_did_is_kept() -> None:
    def work(cue: Cue) -> None:
        if cue.motion:
            raise ValueError("broken")

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> None:
        await reach(session, peer, "error")
        session.telemetry.record_page_report(PageReport(latencies=(40.0,)))
        living = sessions.counters()
        with pytest.raises(BadOffer):
            await sessions.open("v=0")
        await sessions.close(session.id)
        await sessions.close_all()
        ended = sessions.counters()
        assert ended.errors["ValueError"] >= living.errors["ValueError"] >= 1
        assert ended.frames["received"] >= living.frames["received"] >= 1
        assert ended.frames["failed"] == ended.errors["ValueError"]
        assert ended.encoded_bytes >= living.encoded_bytes > 0
        assert sum(ended.glass_to_glass.counts) == 1
        assert (dict(ended.sessions_ended), ended.errors["BadOffer"]) == ({"asked to": 1, "refused": 1}, 1)

    play(scene, animator=FakeAnimator(work))


@pytest.mark.parametrize("seconds", [None, 0.0, 0.01, 0.03])
def test_nothing_is_left_after_close(seconds: float | None) -> None:
    """Closed once pictures came (None), or so many seconds after the answer, in the middle of connecting."""

    async def cycle(sessions: Sessions, hang_up_first: bool) -> None:
        peer = FakePeer()
        _, answer = await sessions.open(await peer.offer())
        await peer.accept(answer)
        await (peer.number() if seconds is None else asyncio.sleep(seconds))
        if hang_up_first:
            await peer.close()
        await sessions.close_all()
        await peer.close()

    async def run() -> list[Any]:
        sessions = Sessions(SessionContext(FakeAnimator(), FakeTracker, portrait(), LOOPBACK))
        for i in range(3):
            await cycle(sessions, hang_up_first=bool(i % 2))
        await reached(lambda: len(asyncio.all_tasks()) == 1)  # the loop's next rounds close the transports
        await reached(lambda: not new_threads(before))
        gc.collect()
        return [thing for thing in gc.get_objects() if type(thing) in (Session, FakeTracker)]

    before = set(threading.enumerate())
    assert asyncio.run(run()) == []


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_a_smaller_picture_is_sent_and_a_whole_one_again(codec: CodecName) -> None:
    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> list[int]:
        sides = []
        for size in (1.0, 0.5, 1.0):
            session.set_options({"size": size})
            while (side := len(await peer.picture())) != SIZE * size:
                pass
            sides.append(side)
        return sides

    assert play(scene, codec=codec) == [SIZE, SIZE // 2, SIZE]
