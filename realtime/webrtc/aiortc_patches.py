"""Patches of aiortc and aioice: the only place that touches their private names.

Unpatched, they cost 50 ms of latency (measured), hide the receiver's feedback from the encoder, and bind media to every
address of the machine. Each patch is applied on its own. If a name that it needs is gone, the patch is skipped, aiortc
works as it is, and a sentence says what is lost. Every patch returns these sentences: none if all went well.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import aioice.ice
import aiortc.rtcrtpreceiver
import av
from aioice.candidate import candidate_priority
from aiortc import rtp
from aiortc.codecs import HEADER_EXTENSIONS, get_decoder
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext

from realtime.webrtc import port_mux
from realtime.webrtc.decoder_queue import DecoderQueue
from realtime.webrtc.ice import AddressRule, open_port
from realtime.webrtc.jitter_buffer import MarkerJitterBuffer
from realtime.webrtc.settings import MediaSettings
from realtime.webrtc.voice_rtp import VoiceBuffer

PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
NO_DELAY = bytes(3)  # two numbers of 12 bits: the least and the greatest delay, in units of 10 ms

Arguments = ParamSpec("Arguments")


def _or_lost(loss: str) -> Callable[[Callable[Arguments, None]], Callable[Arguments, list[str]]]:
    """Decorate a patch that raises AttributeError if a name is gone: let it return sentences, `loss` first, instead."""

    def decorate(patch: Callable[Arguments, None]) -> Callable[Arguments, list[str]]:
        @wraps(patch)
        def attempt(*args: Arguments.args, **kwargs: Arguments.kwargs) -> list[str]:
            try:
                patch(*args, **kwargs)
            except AttributeError as error:
                return [f"{loss}: this aiortc has no {error.name!r}; pip install 'aiortc==1.16.*' 'aioice==0.13.*'."]
            return []

        return attempt

    return decorate


def _replace(owner: Any, name: str, replacement: Any) -> None:
    """Replace an attribute. Raise AttributeError if it does not exist."""
    getattr(owner, name)
    setattr(owner, name, replacement)


async def self_check(settings: MediaSettings) -> list[str]:
    """Try every patch on an unused connection, so that the server can say at its start what is lost."""
    connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    try:
        video = connection.addTransceiver("video")
        transport = video.receiver.transport.transport
        lost = prepare() + patch_low_latency(video) + patch_rtcp_feedback(video.sender, lambda: None, lambda _: None)
        lost += patch_sender_reports(video.receiver, lambda _: None)
        return list(dict.fromkeys(lost + patch_ice_address(transport, settings, AddressRule.of(settings))))
    finally:
        await connection.close()


def prepare() -> list[str]:
    """Patch what all connections share. Call it before the first one is made."""
    return _patch_playout_delay() + _patch_decoder_threads()


def patch_low_latency(transceiver: aiortc.RTCRtpTransceiver) -> list[str]:
    """Remove the delays from a connection's video. Call it before its local description is set."""
    return _patch_jitter_buffer(transceiver.receiver) + _patch_no_delay(transceiver.sender)


@_or_lost("The voice is not sent back")
def patch_voice_buffer(receiver: aiortc.RTCRtpReceiver, buffer: VoiceBuffer) -> None:
    """Let `buffer` take the voice's packets in place of aiortc's jitter buffer."""
    _replace(receiver, "_RTCRtpReceiver__jitter_buffer", buffer)


def sent_timestamp(sender: aiortc.RTCRtpSender) -> int | None:
    """Return the RTP timestamp of the last packet sent; None before the first, or if aiortc does not give it."""
    timestamp: int | None = getattr(sender, "_RTCRtpSender__rtp_timestamp", None)
    return timestamp or None


def patch_ice_address(transport: aiortc.RTCIceTransport, settings: MediaSettings, rule: AddressRule) -> list[str]:
    """Make a transport gather candidates on the one address of the settings only, and fix its closing and checks."""
    lost = _patch_gathering(transport.iceGatherer, settings, rule)
    if lost:
        # Still bind to the address: by a public name, for the whole process, without port range and source filter.
        _replace(aioice.ice, "get_host_addresses", lambda **_: [settings.address])
    return lost + _patch_close_while_connecting(transport) + _patch_missing_priority(transport)


# Received video: each frame leaves the jitter buffer with its last packet, and is decoded on one thread.


@_or_lost("The driver is seen one frame late")
def _patch_jitter_buffer(receiver: aiortc.RTCRtpReceiver) -> None:
    getattr(receiver, "_RTCRtpReceiver__decoder_queue")  # noqa: B009 - patch both or none
    failed = getattr(receiver, "_RTCRtpReceiver__decoder_error")  # noqa: B009 - aiortc answers it with a PLI
    _replace(receiver, "_RTCRtpReceiver__jitter_buffer", MarkerJitterBuffer())
    _replace(receiver, "_RTCRtpReceiver__decoder_queue", DecoderQueue(failed.set))


class _Decoder:
    """aiortc's video decoder on one thread. Each frame's `opaque` is its Reception, if the jitter buffer is ours."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        decoder.codec.thread_count = 1
        decoder.codec.flags |= Flags.low_delay

    def decode(self, encoded: Any) -> list[av.VideoFrame]:
        frames: list[av.VideoFrame] = self._decoder.decode(encoded)
        for frame in frames:
            frame.opaque = getattr(encoded, "reception", None)
        return frames


def _new_decoder(codec: aiortc.RTCRtpCodecParameters) -> Any:
    decoder = get_decoder(codec)
    return _Decoder(decoder) if isinstance(getattr(decoder, "codec", None), VideoCodecContext) else decoder


@_or_lost("Decoding may be slow")
def _patch_decoder_threads() -> None:
    _replace(aiortc.rtcrtpreceiver, "get_decoder", _new_decoder)


# Sent video: shown without delay; the receiver's feedback is passed on.


class _NoDelayExtensions(rtp.HeaderExtensionsMap):
    """Adds to every packet the playout delay 0: show it at once."""

    def __init__(self) -> None:
        super().__init__()
        self._id: int | None = None

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        self._id = next((ext.id for ext in parameters.headerExtensions if ext.uri == PLAYOUT_DELAY), None)

    def set(self, values: rtp.HeaderExtensions) -> tuple[int, bytes]:
        profile, value = super().set(values)
        if self._id is None:
            return profile, value
        return rtp.pack_header_extensions([*rtp.unpack_header_extensions(profile, value), (self._id, NO_DELAY)])


@_or_lost("The browser may hold pictures back")
def _patch_playout_delay() -> None:
    extensions = HEADER_EXTENSIONS["video"]
    if all(extension.uri != PLAYOUT_DELAY for extension in extensions):
        extensions.append(RTCRtpHeaderExtensionParameters(id=4, uri=PLAYOUT_DELAY))


@_or_lost("The browser may hold pictures back")
def _patch_no_delay(sender: aiortc.RTCRtpSender) -> None:
    _replace(sender, "_RTCRtpSender__rtp_header_extensions_map", _NoDelayExtensions())


@_or_lost("Lost pictures are repaired late")
def patch_rtcp_feedback(
    sender: aiortc.RTCRtpSender,
    on_keyframe: Callable[[], None],
    on_estimate: Callable[[int], None],
    on_loss: Callable[[float], None] = lambda share: None,
) -> None:
    """Pass on keyframe requests (PLI, FIR), bandwidth estimates in bit/s (REMB), and the share of packets (0..1) that
    was lost since the last report."""
    handle = sender._handle_rtcp_packet

    async def handle_and_report(packet: Any) -> None:
        match packet:
            case rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI | rtp.RTCP_PSFB_FIR):
                on_keyframe()
            case rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_APP):
                with contextlib.suppress(ValueError, struct.error):
                    on_estimate(rtp.unpack_remb_fci(packet.fci)[0])
            case rtp.RtcpRrPacket() | rtp.RtcpSrPacket():
                for report in packet.reports:
                    if report.ssrc == sender._ssrc:
                        on_loss(report.fraction_lost / 256)
        await handle(packet)

    _replace(sender, "_handle_rtcp_packet", handle_and_report)


@_or_lost("The page only estimates latency")
def patch_sender_reports(receiver: aiortc.RTCRtpReceiver, on_report: Callable[[int], None]) -> None:
    """Pass on the RTP timestamp of each sender report (RFC 3550, 6.4.1)."""
    handle = receiver._handle_rtcp_packet

    async def handle_and_report(packet: Any) -> None:
        if isinstance(packet, rtp.RtcpSrPacket):
            on_report(packet.sender_info.rtp_timestamp)
        await handle(packet)

    _replace(receiver, "_handle_rtcp_packet", handle_and_report)


# The address, and the connection.


@_or_lost("Media ports are not limited")
def _patch_gathering(gatherer: aiortc.RTCIceGatherer, settings: MediaSettings, rule: AddressRule) -> None:
    connection = gatherer._connection
    protocols = connection._protocols
    gather_stock = connection.get_component_candidates

    async def gather(component: int, addresses: list[str], timeout: int = 5) -> list[aioice.Candidate]:
        shared = port_mux.join(connection, settings, rule)
        protocol = shared or await open_port(connection, settings, rule)
        protocols.append(protocol)
        reflexive = await _reflexive(protocol, connection.stun_server, timeout)
        relayed = await gather_stock(component, [], timeout)
        return [protocol.local_candidate, *reflexive, *relayed]

    _replace(connection, "get_component_candidates", gather)


async def _reflexive(
    protocol: aioice.ice.StunProtocol, server: tuple[str, int] | None, timeout: float
) -> list[aioice.Candidate]:
    if server is None:
        return []
    try:
        query = aioice.ice.server_reflexive_candidate(protocol, server)
        return [(await asyncio.wait_for(query, timeout))[0]]
    except (OSError, TimeoutError, aioice.stun.TransactionError):
        return []  # without an answer from the STUN server there is still the host candidate


@_or_lost("A connection that is closed early stays")
def _patch_close_while_connecting(transport: aiortc.RTCIceTransport) -> None:
    """Stop what aiortc goes on with if it is closed while connecting: endless consent checks, and logged errors."""
    connection = transport.iceGatherer._connection
    start, connect = transport.start, connection.connect

    async def start_unless_closed(parameters: aiortc.RTCIceParameters) -> None:
        if transport.state != "closed":
            await start(parameters)

    async def connect_unless_closed() -> None:
        await connect()
        if connection._closed:
            await connection.close()

    _replace(transport, "start", start_unless_closed)
    _replace(connection, "connect", connect_unless_closed)


@_or_lost("FFmpeg 8.0 cannot connect")
def _patch_missing_priority(transport: aiortc.RTCIceTransport) -> None:
    """Add the usual PRIORITY to FFmpeg 8.0's connectivity checks, which omit it against RFC 8445, 7.1.1."""
    connection = transport.iceGatherer._connection
    check = connection.check_incoming

    def check_with_priority(message: aioice.stun.Message, addr: tuple[str, int], protocol: Any) -> None:
        usual = candidate_priority(protocol.local_candidate.component, "prflx")
        message.attributes.setdefault("PRIORITY", usual)
        check(message, addr, protocol)

    _replace(connection, "check_incoming", check_with_priority)
