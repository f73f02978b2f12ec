"""The only place that touches private names of aiortc and aioice.

Their stock behaviour costs 50 ms of latency (measured), hides the receiver's feedback from who encodes, and binds media
to every address of the machine. Each tuning is applied by itself; where a name that it needs is gone it is left out,
aiortc goes on as it is, and one sentence says what is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from typing import Any

import aioice
import aioice.ice
import aioice.stun
import aiortc
import aiortc.rtcrtpreceiver
import av
from aioice.candidate import candidate_priority
from aiortc.codecs import HEADER_EXTENSIONS, get_decoder
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    HeaderExtensions,
    HeaderExtensionsMap,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpSrPacket,
    pack_header_extensions,
    unpack_header_extensions,
    unpack_remb_fci,
)
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext

from realtime.webrtc import port_mux
from realtime.webrtc.decoder_queue import DecoderQueue
from realtime.webrtc.ice import AddressRule, open_port
from realtime.webrtc.jitter_buffer import MarkerJitterBuffer
from realtime.webrtc.settings import MediaSettings
from realtime.webrtc.voice_rtp import VoiceBuffer

PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
NO_DELAY = bytes(3)  # two numbers of 12 bits: shortest and longest delay, in 10 ms

Keyframe = Callable[[], None]
Estimate = Callable[[int], None]
Loss = Callable[[float], None]
Report = Callable[[int], None]


async def self_check(settings: MediaSettings) -> list[str]:
    """Try every tuning on a connection that nobody uses, so that the start already says what is lost."""
    connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    try:
        video = connection.addTransceiver("video")
        transport = video.receiver.transport.transport
        tuned = prepare() + patch_low_latency(video) + patch_rtcp_feedback(video.sender, lambda: None, lambda _: None)
        tuned += patch_sender_reports(video.receiver, lambda _: None)
        return list(dict.fromkeys(tuned + patch_ice_address(transport, settings, AddressRule.of(settings))))
    finally:
        await connection.close()


def prepare() -> list[str]:
    """Tune what all connections share, before the first one; sentences on what had to be left out."""
    return _apply(
        ("The browser may hold pictures back", _patch_playout_delay),
        ("Decoding may be slow", _patch_decoder_threads),
    )


def patch_low_latency(transceiver: aiortc.RTCRtpTransceiver) -> list[str]:
    """Take the waiting out of a connection's video, before its local description; sentences as above."""
    return _apply(
        ("The driver is seen one frame late", lambda: _patch_jitter_buffer(transceiver.receiver)),
        ("The browser may hold pictures back", lambda: _patch_no_delay(transceiver.sender)),
    )


def patch_rtcp_feedback(
    sender: aiortc.RTCRtpSender, on_keyframe: Keyframe, on_estimate: Estimate, on_loss: Loss = lambda share: None
) -> list[str]:
    """Be told requests for a keyframe (PLI, FIR), estimates of the path in bit/s (REMB), and the share of packets that
    was lost since the report before; sentences as above."""
    return _apply(
        ("Lost pictures are repaired late", lambda: _patch_feedback(sender, on_keyframe, on_estimate, on_loss))
    )


def patch_sender_reports(receiver: aiortc.RTCRtpReceiver, on_report: Report) -> list[str]:
    """Be told the RTP timestamp at which each sender report left (RFC 3550, 6.4.1); sentences as above."""
    return _apply(("The page only estimates latency", lambda: _patch_reports(receiver, on_report)))


def patch_voice_buffer(receiver: aiortc.RTCRtpReceiver, buffer: VoiceBuffer) -> list[str]:
    """Have `buffer` take a voice's packets as they come, in the place of aiortc's; sentences as above."""
    return _apply(
        ("The voice is not sent back", lambda: _replace(receiver, "_RTCRtpReceiver__jitter_buffer", buffer)),
    )


def sent_timestamp(sender: aiortc.RTCRtpSender) -> int | None:
    """The RTP timestamp of the packet that was sent last; None before the first, and where it cannot be known."""
    timestamp: int | None = getattr(sender, "_RTCRtpSender__rtp_timestamp", None)
    return timestamp or None


def patch_ice_address(transport: aiortc.RTCIceTransport, settings: MediaSettings, rule: AddressRule) -> list[str]:
    """Have a transport gather candidates on the one address of the settings only; sentences as above."""
    left_out = _apply(("Media ports are not limited", lambda: _patch_gathering(transport.iceGatherer, settings, rule)))
    if left_out:
        # Bound all the same: by a public name, for the whole process, without the range and the filter on sources.
        _replace(aioice.ice, "get_host_addresses", lambda **_: [settings.address])
    return left_out + _apply(
        ("A connection that is closed early lingers", lambda: _patch_close_while_connecting(transport)),
        ("FFmpeg 8.0 cannot connect", lambda: _patch_missing_priority(transport)),
    )


def _apply(*tunings: tuple[str, Callable[[], None]]) -> list[str]:
    left_out = []
    for loss, apply in tunings:
        try:
            apply()
        except AttributeError as error:
            left_out.append(
                f"{loss}: this aiortc has no {error.name!r}; pip install 'aiortc==1.16.*' 'aioice==0.13.*'."
            )
    return left_out


def _replace(owner: Any, name: str, replacement: Any) -> None:
    """Replace an attribute that must exist: AttributeError where it does not."""
    getattr(owner, name)
    setattr(owner, name, replacement)


# The driver's frames: each leaves the jitter buffer with its last packet, and is decoded on one thread.


def _patch_jitter_buffer(receiver: aiortc.RTCRtpReceiver) -> None:
    getattr(receiver, "_RTCRtpReceiver__decoder_queue")  # noqa: B009 - both or none
    failed = getattr(receiver, "_RTCRtpReceiver__decoder_error")  # noqa: B009 - aiortc answers it with a PLI
    _replace(receiver, "_RTCRtpReceiver__jitter_buffer", MarkerJitterBuffer())
    _replace(receiver, "_RTCRtpReceiver__decoder_queue", DecoderQueue(failed.set))


class _Decoder:
    """aiortc's video decoder on one thread; each frame's `opaque` is its Reception, where the jitter buffer is ours."""

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


def _patch_decoder_threads() -> None:
    _replace(aiortc.rtcrtpreceiver, "get_decoder", _new_decoder)


# The puppet's frames: shown at once, with what their receiver says about them.


class _NoDelayExtensions(HeaderExtensionsMap):
    """Writes into every packet that it is to be shown at once."""

    def __init__(self) -> None:
        super().__init__()
        self._id: int | None = None

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        self._id = next((ext.id for ext in parameters.headerExtensions if ext.uri == PLAYOUT_DELAY), None)

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        profile, value = super().set(values)
        if self._id is None:
            return profile, value
        return pack_header_extensions([*unpack_header_extensions(profile, value), (self._id, NO_DELAY)])


def _patch_playout_delay() -> None:
    extensions = HEADER_EXTENSIONS["video"]
    if all(extension.uri != PLAYOUT_DELAY for extension in extensions):
        extensions.append(RTCRtpHeaderExtensionParameters(id=4, uri=PLAYOUT_DELAY))


def _patch_no_delay(sender: aiortc.RTCRtpSender) -> None:
    _replace(sender, "_RTCRtpSender__rtp_header_extensions_map", _NoDelayExtensions())


def _patch_feedback(sender: aiortc.RTCRtpSender, on_keyframe: Keyframe, on_estimate: Estimate, on_loss: Loss) -> None:
    handle = sender._handle_rtcp_packet

    async def handle_and_report(packet: Any) -> None:
        if isinstance(packet, RtcpPsfbPacket):
            _on_feedback(packet, on_keyframe, on_estimate)
        elif isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == sender._ssrc:
                    on_loss(report.fraction_lost / 256)
        await handle(packet)

    _replace(sender, "_handle_rtcp_packet", handle_and_report)


def _on_feedback(packet: RtcpPsfbPacket, on_keyframe: Keyframe, on_estimate: Estimate) -> None:
    if packet.fmt in (RTCP_PSFB_PLI, RTCP_PSFB_FIR):
        on_keyframe()
    elif packet.fmt == RTCP_PSFB_APP:
        with contextlib.suppress(ValueError, struct.error):
            on_estimate(unpack_remb_fci(packet.fci)[0])


def _patch_reports(receiver: aiortc.RTCRtpReceiver, on_report: Report) -> None:
    handle = receiver._handle_rtcp_packet

    async def handle_and_report(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            on_report(packet.sender_info.rtp_timestamp)
        await handle(packet)

    _replace(receiver, "_handle_rtcp_packet", handle_and_report)


# The address.


def _patch_gathering(gatherer: aiortc.RTCIceGatherer, settings: MediaSettings, rule: AddressRule) -> None:
    connection = gatherer._connection
    protocols = connection._protocols
    gather_stock = connection.get_component_candidates

    async def gather(component: int, addresses: list[str], timeout: int = 5) -> list[aioice.Candidate]:
        shared = port_mux.join(connection, component, settings, rule)
        protocol = shared or await open_port(connection, component, settings, rule)
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
        return []  # a STUN server that does not answer is no reason to fail: the host candidate is there


def _patch_close_while_connecting(transport: aiortc.RTCIceTransport) -> None:
    """Closed in the middle of connecting, aiortc goes on: it asks for consent for ever, and logs errors."""
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


def _patch_missing_priority(transport: aiortc.RTCIceTransport) -> None:
    """FFmpeg 8.0 leaves the PRIORITY out of its connectivity checks, against RFC 8445, 7.1.1: suppose the usual one."""
    connection = transport.iceGatherer._connection
    check = connection.check_incoming

    def check_with_priority(message: aioice.stun.Message, addr: tuple[str, int], protocol: Any) -> None:
        usual = candidate_priority(protocol.local_candidate.component, "prflx")
        message.attributes.setdefault("PRIORITY", usual)
        check(message, addr, protocol)

    _replace(connection, "check_incoming", check_with_priority)
