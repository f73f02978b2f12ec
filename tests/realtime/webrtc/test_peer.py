"""Offers good and bad, the answer, and what is tuned in aiortc."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiortc.rtcrtpreceiver
import aiortc.rtcrtpsender
import pytest
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    HeaderExtensions,
    RtcpPsfbPacket,
    pack_remb_fci,
    unpack_header_extensions,
)
from aiortc.sdp import SessionDescription

from realtime.webrtc import aiortc_patches
from realtime.webrtc.peer import Listener, Peer, ice_transports
from realtime.webrtc.sdp import BadOffer, video_section
from realtime.webrtc.settings import MediaSettings
from tests.support.fakes import LOOPBACK, FakePeer, offer_of
from tests.support.waiting import reached

QUIET = Listener(lambda video: None, lambda message: "", lambda: None)

VIDEO = """m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=rtcp-mux
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 00:11
a=setup:actpass
a=mid:0
a=sendrecv
a=rtpmap:96 VP8/90000
"""
OFFER = f"v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0\n{VIDEO}".replace("\n", "\r\n")


def with_peer(work: Callable[[Peer], Awaitable[Any]], settings: MediaSettings = LOOPBACK) -> Any:
    async def run() -> Any:
        peer = Peer(settings, QUIET)
        try:
            return await work(peer)
        finally:
            await peer.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("offer", "sentence"),
    [
        ("", "no video"),
        ("hello", "not a session description|no video"),
        ("v=0\r\n", "no video"),
        ("v=0\r\nm=video\r\n", "not a session description"),
        ("\0\r\n" * 50, "not a session description|no video"),
        (OFFER.replace("m=video 9", "m=audio 9").replace("VP8/90000", "opus/48000/2"), "no video"),
        (OFFER.replace("m=video 9", "m=video 0"), "no video"),
        (OFFER.replace("sendrecv", "sendonly"), "both ways"),
        (OFFER.replace("sendrecv", "recvonly"), "both ways"),
        (OFFER.replace("sendrecv", "inactive"), "both ways"),
        (OFFER.replace("VP8", "AV1"), "no codec"),
        (OFFER.replace("VP8", "H264"), "no codec"),  # packetization mode 0
        (OFFER + VIDEO.replace("\n", "\r\n") * 8, "8 is the most"),
        (OFFER.replace("a=ice-ufrag:abcd\r\n", ""), "cannot be answered"),
        (OFFER.replace("a=rtcp-mux\r\n", ""), "cannot be answered"),
    ],
)
def test_bad_offers_are_refused_with_a_sentence(offer: str, sentence: str) -> None:
    with pytest.raises(BadOffer, match=sentence) as refusal:
        with_peer(lambda peer: peer.answer(offer))
    assert str(refusal.value).endswith(".")


def test_every_cut_of_an_offer_is_answered_or_refused() -> None:
    whole = asyncio.run(offer_of())
    for length in range(0, len(whole), 97):
        try:
            with_peer(lambda peer, offer=whole[:length]: peer.answer(offer))  # type: ignore[misc]
        except BadOffer as refusal:
            assert str(refusal).endswith(".")


def test_the_section_that_goes_both_ways_is_taken() -> None:
    one_way = VIDEO.replace("mid:0", "mid:1").replace("sendrecv", "recvonly").replace("\n", "\r\n")
    both = VIDEO.replace("mid:0", "mid:2").replace("\n", "\r\n")
    head = OFFER.split("m=video")[0]
    assert video_section(head + one_way + both).rtp.muxId == "2"


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_the_answer(codec: str) -> None:
    async def answered(peer: Peer) -> tuple[str, str]:
        return await peer.answer(await offer_of(codec)), peer.codec

    answer, chosen = with_peer(answered)
    description = SessionDescription.parse(answer)
    video = description.media[0]
    assert chosen == codec == video.rtp.codecs[0].name
    assert video.direction == "sendrecv"
    assert video.rtp.codecs[0].parameters["x-google-start-bitrate"] == "2500"
    assert [candidate.ip for candidate in video.ice_candidates] == ["127.0.0.1"]
    assert aiortc_patches.PLAYOUT_DELAY in [extension.uri for extension in video.rtp.headerExtensions]
    assert [media.kind for media in description.media] == ["video", "application"]


def test_other_media_is_refused_in_the_answer() -> None:
    audio = VIDEO.replace("m=video", "m=audio").replace("mid:0", "mid:1").replace("VP8/90000", "opus/48000/2")
    audio = audio.replace("sendrecv", "sendonly")
    second = VIDEO.replace("mid:0", "mid:2")
    offer = OFFER.replace("BUNDLE 0", "BUNDLE 0 1 2") + (audio + second).replace("\n", "\r\n")
    description = SessionDescription.parse(with_peer(lambda peer: peer.answer(offer)))
    assert [media.direction for media in description.media] == ["sendrecv", "inactive", "inactive"]


def test_every_port_in_use() -> None:
    from realtime.webrtc.ice import NoPort
    from tests.realtime.webrtc.test_ice import free_ports

    async def two(first: Peer) -> None:
        second = Peer(settings, QUIET)
        await first.answer(OFFER)
        try:
            with pytest.raises(NoPort, match="in use"):
                await second.answer(OFFER)
        finally:
            await second.close()

    settings = MediaSettings(strict=True, ports=free_ports(1))
    with_peer(two, settings)


@pytest.mark.parametrize(
    "fragment", ["", "nonsense", "a=candidate:", "a=candidate:1 1 udp 1 x.local 9 typ host\r\n" * 9]
)
def test_any_fragment_of_candidates_is_borne(fragment: str) -> None:
    async def add(peer: Peer) -> None:
        await peer.answer(OFFER)
        await peer.add_candidates(fragment)

    with_peer(add)


def test_allowed_candidates_are_added() -> None:
    async def add(peer: Peer) -> int:
        await peer.answer(OFFER)
        await peer.add_candidates("a=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n")
        [transceiver] = peer._connection.getTransceivers()
        return len(transceiver.receiver.transport.transport.getRemoteCandidates())

    assert with_peer(add) == 1


def test_feedback_reaches_who_encodes() -> None:
    async def tell(peer: Peer) -> list[object]:
        await peer.answer(OFFER)
        [transceiver] = peer._connection.getTransceivers()
        sender = transceiver.sender
        heard: list[object] = [peer.keyframe_wanted()]
        for fmt in (RTCP_PSFB_PLI, RTCP_PSFB_FIR):
            await sender._handle_rtcp_packet(RtcpPsfbPacket(fmt=fmt, ssrc=1, media_ssrc=sender._ssrc))
            heard += [peer.keyframe_wanted(), peer.keyframe_wanted()]
        for fci in (pack_remb_fci(1_000_000, [sender._ssrc]), b"REMB\1", b"junkjunkjunk"):
            await sender._handle_rtcp_packet(RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=fci))
        return [*heard, peer.bitrate]

    assert with_peer(tell) == [False, True, False, True, False, 1_000_000]


def test_a_client_whose_checks_have_no_priority_connects() -> None:
    """FFmpeg 8.0 is one (RFC 8445, 7.1.1 wants it); it also comes from an address that its offer did not name."""

    async def connect(peer: Peer) -> None:
        client = FakePeer()
        offer = await client.offer()
        await client.accept(await peer.answer(re.sub("a=candidate.*\r\n", "", offer)))
        for transport in ice_transports(client.connection):
            connection = transport.iceGatherer._connection
            connection.build_request = partial(without_priority, connection.build_request)
        await reached(lambda: peer.connected)
        await client.close()

    def without_priority(build: Callable[..., Any], pair: Any, nominate: bool) -> Any:
        message = build(pair, nominate)
        del message.attributes["PRIORITY"]
        return message

    with_peer(connect)


def test_every_packet_says_that_it_is_to_be_shown_at_once() -> None:
    extensions = aiortc_patches._NoDelayExtensions()
    extension = SimpleNamespace(uri=aiortc_patches.PLAYOUT_DELAY, id=5)
    mid = SimpleNamespace(uri="urn:ietf:params:rtp-hdrext:sdes:mid", id=1)
    extensions.configure(SimpleNamespace(headerExtensions=[mid, extension]))  # type: ignore[arg-type]
    assert unpack_header_extensions(*extensions.set(HeaderExtensions(mid="0"))) == [(1, b"0"), (5, b"\0\0\0")]


def test_a_peer_that_did_not_ask_for_it_gets_stock_packets() -> None:
    extensions = aiortc_patches._NoDelayExtensions()
    mid = SimpleNamespace(uri="urn:ietf:params:rtp-hdrext:sdes:mid", id=1)
    extensions.configure(SimpleNamespace(headerExtensions=[mid]))  # type: ignore[arg-type]
    assert unpack_header_extensions(*extensions.set(HeaderExtensions(mid="0"))) == [(1, b"0")]


@pytest.mark.parametrize(
    ("owner", "name", "loss"),
    [
        (aiortc.rtcrtpreceiver.RTCRtpReceiver, "_RTCRtpReceiver__jitter_buffer", "one frame late"),
        (aiortc.rtcrtpreceiver.RTCRtpReceiver, "_RTCRtpReceiver__decoder_queue", "one frame late"),
        (aiortc.rtcrtpsender.RTCRtpSender, "_RTCRtpSender__rtp_header_extensions_map", "hold pictures back"),
    ],
)
def test_a_private_name_that_is_gone_costs_its_tuning_only(
    owner: type, name: str, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, MissingAttribute(name), raising=False)

    async def warned(peer: Peer) -> list[str]:
        assert await peer.answer(OFFER)
        return peer.warnings

    [warning] = with_peer(warned)
    assert loss in warning and name in warning and "pip install" in warning


def test_the_self_check_finds_nothing_missing_in_the_pinned_versions() -> None:
    assert asyncio.run(aiortc_patches.self_check(LOOPBACK)) == []


def test_the_self_check_names_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "_RTCRtpReceiver__jitter_buffer"
    monkeypatch.setattr(aiortc.rtcrtpreceiver.RTCRtpReceiver, name, MissingAttribute(name), raising=False)
    [warning] = asyncio.run(aiortc_patches.self_check(LOOPBACK))
    assert "one frame late" in warning and name in warning


def test_without_feedback_the_peer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "_handle_rtcp_packet"
    monkeypatch.setattr(aiortc.rtcrtpsender.RTCRtpSender, name, MissingAttribute(name))

    async def warned(peer: Peer) -> tuple[bool, list[str]]:
        await peer.answer(OFFER)
        return peer.receives_feedback, peer.warnings

    hears, [warning] = with_peer(warned)
    assert not hears and "repaired late" in warning


def test_without_its_private_name_media_is_bound_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "_protocols"
    import aioice.ice

    stock = aioice.ice.get_host_addresses
    monkeypatch.setattr(aioice.ice, "get_host_addresses", stock)  # put back afterwards
    broken = aiortc_patches._or_lost("Media ports are not limited")(lambda *_: getattr(object(), name))
    monkeypatch.setattr(aiortc_patches, "_patch_gathering", broken)

    async def candidates(peer: Peer) -> tuple[list[str], list[str]]:
        media = SessionDescription.parse(await peer.answer(OFFER)).media
        return [candidate.ip for candidate in media[0].ice_candidates], peer.warnings

    addresses, [warning] = with_peer(candidates)
    assert addresses == ["127.0.0.1"]
    assert "not limited" in warning


class MissingAttribute:
    """An attribute that another version of a library does not have, also where an instance sets it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError(f"no {self._name}", name=self._name)

    def __set__(self, instance: object, value: object) -> None: ...
