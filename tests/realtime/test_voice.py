"""A voice's packets, when they are to leave, and a session on loopback whose voice comes back with its pictures."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import aiortc.rtcrtpreceiver
import av
import numpy as np
import pytest
from aiortc.codecs.opus import OpusEncoder
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RtpPacket
from aiortc.sdp import SessionDescription

from pipeline.core.animator import Cue
from realtime.session import SessionContext
from realtime.sessions import Sessions
from realtime.voice import (
    BEARABLE_SECONDS,
    LATER_SECONDS,
    PLAYOUT_SECONDS,
    SOONER_SECONDS,
    LipSync,
    Moment,
    SlewLimiter,
    Voice,
)
from realtime.webrtc import aiortc_patches
from realtime.webrtc.sdp import DRIVER, PUPPETEER, VIEWER, Role, voice_section, with_short_packets
from realtime.webrtc.voice_rtp import RESTART, SAMPLE_RATE, VoiceBuffer, VoicePacket, VoiceTrack
from tests.support.fakes import LOOPBACK, FakeAnimator, FakePeer, FakeTracker, NumberedTrack, number_of, portrait
from tests.support.waiting import PATIENCE, new_threads, reached, until

FRAME = SAMPLE_RATE // 50  # samples in 20 ms
TOC = bytes([0b01111000])  # Opus, hybrid, one frame of 20 ms
LATENCY = 0.1
CLICK = 7  # the number of the picture with which the voice clicks


def sounding(loud: bool, pts: int = 0) -> av.AudioFrame:
    """20 ms of 1 kHz, or of silence."""
    wave = np.sin(2 * np.pi * 1000 * np.arange(FRAME) / SAMPLE_RATE) * (20000 if loud else 0)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, pts, Fraction(1, SAMPLE_RATE)
    return frame


def spoken_at(number: int, late: float = 0.0) -> VoicePacket:
    """The packet of the 20 ms that begin at 10 + 0.02 `number`, which comes when the last sample was spoken."""
    return VoicePacket(TOC, number * FRAME % (1 << 32), 10.02 + 0.02 * number + late)


class Ear:
    """An output that keeps what it hears."""

    name = "recording"

    def __init__(self) -> None:
        self.heard: list[tuple[av.AudioFrame, float]] = []

    def show(self, shown: Any) -> None: ...

    def add_audio(self, audio: av.AudioFrame, time: float) -> None:
        self.heard.append((audio, time))

    def report(self) -> str:
        return "there"

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("data", "milliseconds"),
    [
        ("00", 10),  # SILK, one frame
        ("18", 60),
        ("1b01", 60),  # a count of frames follows
        ("4b03", 60),
        ("60", 10),  # hybrid
        ("78", 20),
        ("79", 40),  # two frames
        ("7a", 40),
        ("80", 2.5),  # CELT
        ("f8", 20),
        ("fb06", 120),
        ("fb", 0),  # cut off
    ],
)
def test_a_packet_tells_how_long_it_sounds(data: str, milliseconds: float) -> None:
    assert VoicePacket(bytes.fromhex(data), 0, 0.0).duration == pytest.approx(milliseconds / 1000)


def test_the_encoders_packets_tell_their_length() -> None:
    [[data], _] = OpusEncoder().encode(sounding(True))
    assert VoicePacket(data, 0, 0.0).duration == 0.02


def test_packets_are_handed_on_as_they_come() -> None:
    taken: list[VoicePacket] = []
    times = iter(range(100))
    buffer = VoiceBuffer(111, taken.append, lambda: float(next(times)))
    wrap = (1 << 32) - FRAME
    order = [wrap - FRAME, wrap, 0, FRAME, 3 * FRAME, 2 * FRAME, 3 * FRAME, 4 * FRAME]
    for timestamp in order:
        assert buffer.add(RtpPacket(payload_type=111, timestamp=timestamp, payload=TOC)) == (False, None)
    buffer.add(RtpPacket(payload_type=0, timestamp=5 * FRAME, payload=TOC))
    buffer.add(RtpPacket(payload_type=111, timestamp=6 * FRAME))
    assert [packet.timestamp for packet in taken] == [wrap - FRAME, wrap, 0, FRAME, 3 * FRAME, 4 * FRAME]
    assert [packet.arrived for packet in taken] == [0, 1, 2, 3, 4, 5]


def test_a_sender_that_starts_anew_is_heard() -> None:
    taken: list[VoicePacket] = []
    buffer = VoiceBuffer(111, taken.append)
    for timestamp in (RESTART + FRAME, FRAME, 2 * FRAME):
        buffer.add(RtpPacket(payload_type=111, timestamp=timestamp, payload=TOC))
    assert [packet.timestamp for packet in taken] == [RESTART + FRAME, FRAME, 2 * FRAME]


def placed(latency: float, *packets: VoicePacket) -> Moment:
    """The last packet's moment, where pictures take `latency`."""
    sync = LipSync()
    sync.show(latency)
    return [sync.place(packet) for packet in packets][-1]


def test_a_voice_is_dated_by_its_fastest_packets() -> None:
    packets = [spoken_at(number, late) for number, late in enumerate([0.03, 0.0, 0.25, 0.004])]
    assert placed(0.2, *packets).shown == pytest.approx(10.06 + 0.2)
    assert placed(0.2, *packets, spoken_at(4)).shown == pytest.approx(10.08 + 0.2)


def test_a_clock_that_was_set_anew_is_followed() -> None:
    stood_still = VoicePacket(TOC, 50 * FRAME, 31.02)  # for 20 s
    assert placed(0.2, spoken_at(0), stood_still).shown == pytest.approx(31.2)


@pytest.mark.parametrize(
    ("latency", "delay", "heard"),
    [
        (0.2, 0.2 - 0.02 - PLAYOUT_SECONDS, 0.0),
        (0.02 + PLAYOUT_SECONDS, 0.0, 0.0),
        (0.03, 0.0, PLAYOUT_SECONDS - 0.01),  # pictures are faster: nothing can be done
    ],
)
def test_a_voice_waits_for_its_picture(latency: float, delay: float, heard: float) -> None:
    moment = placed(latency, spoken_at(0), spoken_at(1))
    assert moment.due - moment.arrived == pytest.approx(delay)
    assert moment.heard == pytest.approx(heard)
    assert moment.shown == pytest.approx(10.02 + latency)


def test_a_voice_does_not_wait_for_what_is_not_known() -> None:
    moment = LipSync().place(spoken_at(0))
    assert (moment.due, moment.heard) == (moment.arrived, 0.0)


def test_a_late_packet_leaves_at_once() -> None:
    moment = placed(0.1, spoken_at(0), spoken_at(1, 0.3))
    assert moment.due == moment.arrived == pytest.approx(10.34)


def test_a_listener_that_holds_the_voice_is_sent_it_sooner() -> None:
    sync = LipSync()
    sync.show(0.2)
    waits = []
    for number in range(100):
        moment = sync.place(spoken_at(number))
        waits.append(moment.due - moment.arrived)
        sync.playout = PLAYOUT_SECONDS + 0.05
    assert waits[0] - waits[-1] == pytest.approx(0.05, abs=LATER_SECONDS)
    assert moment.heard == pytest.approx(0.0, abs=LATER_SECONDS)


def test_one_slow_picture_does_not_count() -> None:
    sync = LipSync()
    for latency in (0.2, 0.2, 0.9, 0.2, -1.0):
        sync.show(latency)
    assert sync.place(spoken_at(0)).shown == pytest.approx(10.2)


def test_a_glide_is_slow_and_rests_while_it_is_near_enough() -> None:
    glide = SlewLimiter()
    assert glide.follow(0.1) == 0.1
    assert glide.follow(0.1 + 0.9 * BEARABLE_SECONDS) == glide.follow(0.1 - 0.9 * BEARABLE_SECONDS) == 0.1
    up = [glide.follow(0.2) for _ in range(1000)]
    assert max(np.diff(up)) == pytest.approx(LATER_SECONDS)
    assert up[-1] == up[-100] == pytest.approx(0.2, abs=LATER_SECONDS)  # once on its way, it goes to the end
    assert glide.follow(0.2 + 0.9 * BEARABLE_SECONDS) == up[-1]
    down = [glide.follow(0.0) for _ in range(1000)]
    assert min(np.diff(down)) == pytest.approx(-SOONER_SECONDS)
    assert down[-1] == pytest.approx(0.0, abs=LATER_SECONDS)


def test_a_voice_goes_on_as_it_came_and_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, float]] = []
    voice = Voice(lambda packet, due: sent.append((packet, due)), list)
    voice.sync.show(0.2)
    now = 50.0
    monkeypatch.setattr("realtime.voice.time", SimpleNamespace(monotonic=lambda: now))
    for number in range(3):
        voice.on_packet(VoicePacket(TOC, number * FRAME, now + 0.02 * number))
    wait = 0.2 - 0.02 - PLAYOUT_SECONDS
    assert [packet.pts for packet, _ in sent] == [0, FRAME, 2 * FRAME]
    assert [bytes(packet) for packet, _ in sent] == [TOC] * 3
    assert [due - now for _, due in sent] == pytest.approx([wait, wait + 0.02, wait + 0.04])
    assert voice.report() == {"delay_ms": pytest.approx(1000 * wait), "error_ms": pytest.approx(0, abs=0.1)}


def test_outputs_hear_the_sound_and_broken_packets_are_borne() -> None:
    ear = Ear()
    voice = Voice(lambda packet, due: None, lambda: [ear])
    encoder = OpusEncoder()
    now = time.monotonic()
    for number in range(5):
        [[data], _] = encoder.encode(sounding(True, number * FRAME))
        voice.on_packet(VoicePacket(data, number * FRAME, now + 0.02 * number))
    voice.on_packet(VoicePacket(b"\xff\xff\xff", 5 * FRAME, now + 0.1))
    loudest = [np.abs(frame.to_ndarray()).max() for frame, _ in ear.heard]
    assert len(loudest) >= 4 and max(loudest) > 10000
    assert {(frame.sample_rate, frame.layout.name) for frame, _ in ear.heard} == {(SAMPLE_RATE, "stereo")}


def test_without_a_voice_nothing_is_told_and_an_old_one_is_forgotten() -> None:
    voice = Voice(lambda packet, due: None, list)
    assert voice.report() is None
    voice.on_packet(VoicePacket(TOC, 0, time.monotonic() - 5))
    assert voice.report() is None


def test_a_track_holds_each_packet_until_it_is_due() -> None:
    async def run() -> tuple[list[int], list[float]]:
        track, start = VoiceTrack(), time.monotonic()
        for number, due in enumerate([0.0, 0.05, 0.04]):
            track.offer(VoicePacket(TOC, number, 0.0).to_av(), start + due)
        packets, times = [], []
        for _ in range(3):
            packets.append((await track.recv()).pts)
            times.append(time.monotonic() - start)
        return packets, times

    packets, times = asyncio.run(run())
    assert packets == [0, 1, 2]
    assert times[1] >= 0.05


def test_a_track_that_nobody_reads_does_not_grow() -> None:
    async def run() -> int:
        track = VoiceTrack()
        for number in range(1000):
            track.offer(VoicePacket(TOC, number, 0.0).to_av(), 0.0)
        return track._queue.qsize()

    assert asyncio.run(run()) == 200


AUDIO = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\n"
AUDIO += "a=mid:1\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n"


@pytest.mark.parametrize(
    ("offer", "taken"),
    [
        (AUDIO, (True, True, True)),
        (AUDIO.replace("sendrecv", "sendonly"), (False, True, False)),
        (AUDIO.replace("sendrecv", "recvonly"), (False, False, True)),
        (AUDIO.replace("sendrecv", "inactive"), (False, False, False)),
        (AUDIO.replace("audio 9", "audio 0"), (False, False, False)),
        (AUDIO.replace("opus/48000/2", "G722/8000"), (False, False, False)),
        (AUDIO.replace("a=rtpmap:111", "a=rtpmap:0 PCMU/8000\r\na=rtpmap:111"), (False, False, False)),  # by its order
        (AUDIO.replace("audio 9", "video 9"), (False, False, False)),
        (AUDIO.partition("m=")[0], (False, False, False)),
    ],
)
def test_which_voices_are_taken(offer: str, taken: tuple[bool, ...]) -> None:
    roles = (PUPPETEER, DRIVER, VIEWER)
    assert tuple(voice_section(offer, role) is not None for role in roles) == taken


def test_an_answer_asks_for_short_packets() -> None:
    lines = with_short_packets(AUDIO).splitlines()
    assert lines[lines.index("a=rtpmap:111 opus/48000/2") + 1] == "a=ptime:10"
    assert [line for line in lines if line != "a=ptime:10"] == AUDIO.splitlines()
    pictures = AUDIO.replace("audio 9", "video 9").replace("opus/48000/2", "VP8/90000")
    assert with_short_packets(pictures) == pictures


class Clicker(MediaStreamTrack):
    """A microphone: silence, and a click each time when the camera shows CLICK."""

    kind = "audio"

    def __init__(self, camera: NumberedTrack) -> None:
        super().__init__()
        self._camera = camera
        self._count = 0
        self._start: float | None = None

    async def recv(self) -> av.AudioFrame:
        now = asyncio.get_running_loop().time()
        self._start = now if self._start is None else self._start
        self._count += 1
        await asyncio.sleep(max(0.0, self._start + self._count / 50 - now))
        return sounding(self._camera.number == CLICK, self._count * FRAME)


class SpeakingPeer(FakePeer):
    """A browser's end whose voice comes back: `loudness` is of each packet, with the time."""

    def __init__(self, direction: str = "sendrecv") -> None:
        super().__init__(NumberedTrack())
        self.camera.number = 1
        self.loudness: list[tuple[float, int]] = []
        self.flashes: list[tuple[float, int]] = []
        self.voice = self.connection.addTransceiver(Clicker(self.camera), direction)
        self._decoder = Ear()
        self._hearing = Voice(lambda packet, due: None, lambda: [self._decoder])

    async def offer(self) -> str:
        aiortc_patches.patch_voice_buffer(self.voice.receiver, VoiceBuffer(96, self._on_voice))
        return await super().offer()

    def _on_voice(self, packet: VoicePacket) -> None:
        self._hearing.on_packet(packet)
        for frame, _ in self._decoder.heard:
            self.loudness.append((packet.arrived, int(np.abs(frame.to_ndarray()).max())))
        self._decoder.heard.clear()

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            super()._on_track(track)

    async def watch(self, ready: Callable[[], object]) -> None:
        """Note anew what is heard, and the number of each picture that comes, until both are there and `ready`."""
        self.loudness.clear()
        self.flashes.clear()
        async with asyncio.timeout(PATIENCE):
            while not (self.loudness and self.flashes and ready()):
                self.flashes.append((time.monotonic(), number_of(await self.picture())))


def converse(scene: Any, direction: str = "sendrecv", work: float = 0.0) -> Any:
    """Connect a peer with a voice to a session, let `scene` happen, and end both."""

    async def run() -> Any:
        def busy(cue: Cue) -> None:
            threading.Event().wait(work)

        sessions = Sessions(SessionContext(FakeAnimator(busy), FakeTracker, portrait(), LOOPBACK))
        peer = SpeakingPeer(direction)
        try:
            session, answer = await sessions.open(await peer.offer())
            await peer.accept(answer)
            await peer.number(1)
            return await scene(peer, session, answer)
        finally:
            await peer.close()
            await sessions.close_all()

    return asyncio.run(run())


def first(marks: list[tuple[float, int]], least: int, most: int = 1 << 16) -> float:
    return next(time for time, value in marks if least <= value <= most)


@pytest.mark.parametrize("work", [0.0, LATENCY])
def test_a_click_and_a_flash_come_back_together(work: float) -> None:
    async def scene(peer: SpeakingPeer, session: Any, answer: str) -> list[float]:
        await reached(lambda: session._voice.sync._latency is not None)  # until the first sender report
        late = []
        for _ in range(3):
            peer.camera.number = 1
            await peer.watch(lambda: peer.flashes[-1][1] == 1 and peer.loudness[-1][1] < 5000)
            peer.camera.number = CLICK
            await peer.watch(lambda: peer.flashes[-1][1] == CLICK and peer.loudness[-1][1] >= 5000)
            late.append(first(peer.loudness, 5000) - first(peer.flashes, CLICK, CLICK))
        await reached(lambda: session.telemetry.stats()["audio"]["delay_ms"] >= work * 200)
        return late

    assert abs(float(np.median(converse(scene, work=work)))) < 5  # s; `python -m tests.tools.lip_sync` measures it


def test_outputs_hear_the_voice_when_its_picture_is_shown() -> None:
    async def scene(peer: SpeakingPeer, session: Any, answer: str) -> list[tuple[Any, float]]:
        ear = Ear()
        session.add_output(ear)
        await reached(lambda: len(ear.heard) > 10)
        return ear.heard

    times = [time for _, time in converse(scene)]
    assert times == sorted(times)


def test_a_voice_that_goes_one_way_is_left_alone() -> None:
    async def scene(peer: SpeakingPeer, session: Any, answer: str) -> tuple[Any, Any, list[str]]:
        for _ in range(10):
            await peer.picture()
        directions = [media.direction for media in SessionDescription.parse(answer).media if media.kind == "audio"]
        return session.telemetry.stats()["audio"], peer.loudness, directions

    assert converse(scene, "sendonly") == (None, [], ["inactive"])


@pytest.mark.parametrize(("role", "direction"), [(PUPPETEER, "sendrecv"), (DRIVER, "sendonly")])
def test_viewers_hear_the_voice_too(role: Role, direction: str) -> None:
    async def run() -> tuple[list[str], int]:
        sessions = Sessions(SessionContext(FakeAnimator(), FakeTracker, portrait(), LOOPBACK))
        driver, viewer = SpeakingPeer(direction), SpeakingPeer("recvonly")
        driver.transceiver.direction, viewer.transceiver.direction = direction, "recvonly"
        try:
            session, answer = await sessions.open(await driver.offer(), role=role)
            await driver.accept(answer)
            await viewer.accept((await session.viewers.open(await viewer.offer()))[1])
            driver.camera.number = CLICK
            await viewer.number(CLICK)
            await reached(lambda: viewer.loudness and viewer.loudness[-1][1] >= 5000)
            media = SessionDescription.parse(answer).media
            return [section.direction for section in media if section.kind == "audio"], len(driver.loudness)
        finally:
            await driver.close()
            await viewer.close()
            await sessions.close_all()

    [answered], returned = asyncio.run(run())
    assert answered == role.ours
    assert bool(returned) is (role is PUPPETEER)


def test_the_page_tells_how_long_it_holds_the_voice() -> None:
    async def scene(peer: SpeakingPeer, session: Any, answer: str) -> tuple[float, float]:
        await peer.ask('{"type": "view", "voice": 80}')
        held = session._voice.sync.playout
        await peer.ask('{"type": "view"}')
        assert "'voice' must be a number of milliseconds" in await peer.ask('{"type": "view", "voice": 2000}')
        return held, session._voice.sync.playout

    assert converse(scene) == (0.08, 0.08)


def test_nothing_is_left_of_a_voice() -> None:
    async def run() -> None:
        sessions = Sessions(SessionContext(FakeAnimator(), FakeTracker, portrait(), LOOPBACK))
        peer = SpeakingPeer()
        _, answer = await sessions.open(await peer.offer())
        await peer.accept(answer)
        await reached(lambda: peer.loudness)
        await sessions.close_all()
        await peer.close()
        await reached(lambda: len(asyncio.all_tasks()) == 1)

    threads = set(threading.enumerate())
    asyncio.run(run())
    until(lambda: not new_threads(threads))


def test_without_its_private_name_pictures_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "_RTCRtpReceiver__jitter_buffer"

    class Gone:
        def __get__(self, instance: object, owner: type) -> Any:
            raise AttributeError(f"no {name}", name=name)

        def __set__(self, instance: object, value: object) -> None: ...

    async def run() -> list[str]:
        connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        with monkeypatch.context() as patched:
            patched.setattr(aiortc.rtcrtpreceiver.RTCRtpReceiver, name, Gone(), raising=False)
            receiver = connection.addTransceiver("audio").receiver
            told = aiortc_patches.patch_voice_buffer(receiver, VoiceBuffer(111, lambda packet: None))
        await connection.close()
        return told

    [warning] = asyncio.run(run())
    assert "voice is not sent back" in warning and name in warning
