"""One peer connection, on the event loop: the driver's video in, the puppet's packets out, and a data channel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import aiortc
import av
from aiortc.exceptions import OperationError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcicetransport import candidate_from_aioice
from aiortc.sdp import MediaDescription, SessionDescription

from realtime.webrtc import aiortc_patches, sdp
from realtime.webrtc.capture_clock import TIMESTAMPS
from realtime.webrtc.codec import CodecName, Packet, TargetBitrate
from realtime.webrtc.ice import AddressRule, NoPort, allowed_candidate, filter_candidates
from realtime.webrtc.sdp import PUPPETEER, Role
from realtime.webrtc.settings import IceServer, MediaSettings
from realtime.webrtc.voice_rtp import VoiceBuffer, VoicePacket, VoiceTrack

START_BITRATE = 2500  # kbit/s of the browser's first pictures; its default of 300 blurs the face
CHANNEL = "control"
LONGEST_MESSAGE = 65536  # characters
UNREAD_REPLIES = 1 << 20  # bytes that a peer has not read yet; beyond it, its messages are not answered
IN_FLIGHT = 2  # encoded packets not yet sent, before pictures are dropped


@dataclass(frozen=True)
class Listener:
    """The callbacks of a peer, all called on the event loop."""

    on_frame: Callable[[av.VideoFrame], None]
    on_message: Callable[[str], str]  # the reply
    on_end: Callable[[], None]
    on_report: Callable[[int], None] = lambda timestamp: None  # the RTP timestamp of a sender report
    on_connected: Callable[[], None] = lambda: None
    on_voice: Callable[[VoicePacket], None] = lambda packet: None


class PacketTrack(MediaStreamTrack):
    """Encoded video from another thread. Packets are never dropped here: each needs the one before it."""

    kind = "video"

    def __init__(self, on_gone: Callable[[Packet], None] = lambda packet: None) -> None:
        """`on_gone` is called on the event loop with each packet when all of it was sent."""
        super().__init__()
        self._home = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[Packet, Callable[[], None]]] = asyncio.Queue()
        self._offered = self._sent = 0
        self._on_gone = on_gone
        self._leaving: Packet | None = None

    @property
    def congested(self) -> bool:
        """Whether the event loop does not keep up, so that no packet should be made now."""
        return self._offered - self._sent >= IN_FLIGHT

    def offer(self, packet: Packet, on_sent: Callable[[], None]) -> None:
        """Send `packet`, then call `on_sent` on the event loop. For the thread that encodes."""
        self._offered += 1
        self._home.call_soon_threadsafe(self._queue.put_nowait, (packet, on_sent))

    async def recv(self) -> Packet:
        if self._leaving:
            self._on_gone(self._leaving)
        self._leaving, on_sent = await self._queue.get()
        self._sent += 1
        on_sent()
        return self._leaving


class Peer:
    """The server's end of a connection. For the event loop, unless a method says otherwise."""

    def __init__(
        self, settings: MediaSettings, listener: Listener, role: Role = PUPPETEER, codec: CodecName | None = None
    ) -> None:
        """`codec`: for a viewer, the codec of its session; None: any that both ends support."""
        self._settings = settings
        self._role, self._only = role, codec
        self._rule = AddressRule.of(settings)
        self._listener = listener
        self._bitrate = TargetBitrate()
        self._keyframe_wanted = False
        self._ice_usernames: frozenset[str] = frozenset()
        self._receive_task: asyncio.Task[None] | None = None
        self._sender: aiortc.RTCRtpSender | None = None
        self._origin: int | None = None  # the RTP timestamp of a packet whose pts is 0
        self.track = PacketTrack(self._on_gone)
        self._voice: VoiceTrack | None = None
        self.codec: CodecName = "VP8"
        self.receives_feedback = True
        self.receives_voice = False  # now or later
        self.warnings = aiortc_patches.prepare()
        parsed = map(IceServer.parse, settings.ice_servers)
        servers = [aiortc.RTCIceServer(each.urls, each.username or None, each.credential or None) for each in parsed]
        self._connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=servers))
        self._connection.on("connectionstatechange", self._on_state)
        self._connection.on("datachannel", self._on_channel)

    @property
    def connected(self) -> bool:
        return self._connection.connectionState == "connected"

    @property
    def bitrate(self) -> int:
        """The bits per second that the path can carry. For any thread."""
        return self._bitrate.bits_per_second

    def keyframe_wanted(self) -> bool:
        """Return whether the receiver asked for a keyframe since the last call. For the thread that encodes."""
        wanted, self._keyframe_wanted = self._keyframe_wanted, False
        return wanted

    def send_voice(self, voice: Packet, due: float) -> None:
        """Send a packet of the driver's voice at `due` (monotonic seconds), if this peer takes audio."""
        if self._voice:
            self._voice.offer(voice, due)

    def timestamp(self, pts: int) -> int | None:
        """Return the RTP timestamp of the packet of this `pts` (90 kHz); None if it is not known yet."""
        return None if self._origin is None else (self._origin + pts) % TIMESTAMPS

    async def answer(self, offer: str) -> str:
        """Return the SDP answer to `offer`. Raise BadOffer if it cannot be answered, NoPort if no port is free."""
        section = sdp.video_section(offer, self._role, self._only)
        self._ice_usernames = sdp.ice_usernames(offer)
        description = aiortc.RTCSessionDescription(sdp=filter_candidates(offer, self._rule), type="offer")
        if self._only:
            self._force_codec(self._only)
        try:
            await self._connection.setRemoteDescription(description)
            self._prepare(section.rtp.muxId, sdp.voice_section(offer, self._role))
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except NoPort:
            raise
        except OperationError as error:
            raise sdp.NoCommonCodec from error
        except Exception as error:  # aiortc raises anything for bad input
            raise sdp.BadOffer(f"The offer cannot be answered: {str(error) or type(error).__name__}.") from error
        return self._finish(SessionDescription.parse(self._connection.localDescription.sdp), section.rtp.muxId)

    async def add_candidates(self, fragment: str) -> None:
        """Add the candidates of an SDP fragment (RFC 8840). Malformed and forbidden ones are ignored.

        Raise IceRestart if the fragment is of another ICE session than the offer.
        """
        if not sdp.ice_usernames(fragment) <= self._ice_usernames:
            raise sdp.IceRestart
        for line in fragment.splitlines():
            if candidate := allowed_candidate(line.strip(), self._rule):
                added = candidate_from_aioice(candidate)
                added.sdpMLineIndex = 0  # all sections are bundled with the first
                await self._connection.addIceCandidate(added)

    async def close(self) -> None:
        """Close the connection and everything that belongs to it."""
        if self._receive_task is not None:
            self._receive_task.cancel()
        await hang_up(self._connection)

    def _prepare(self, mid: str, voice: MediaDescription | None) -> None:
        """Set up all sections between the remote and the local description; the puppet goes into the section `mid`."""
        for transceiver in self._connection.getTransceivers():
            if transceiver.mid == mid:
                self._attach_video(transceiver)
            elif voice and transceiver.mid == voice.rtp.muxId:
                self._attach_audio(transceiver, voice.rtp.codecs[0].payloadType)
            else:
                transceiver.direction = "inactive"
        for transport in ice_transports(self._connection):
            self.warnings += aiortc_patches.patch_ice_address(transport, self._settings, self._rule)

    def _force_codec(self, codec: CodecName) -> None:
        spoken = aiortc.RTCRtpSender.getCapabilities("video").codecs
        transceiver = self._connection.addTransceiver("video", direction="sendonly")
        transceiver.setCodecPreferences([each for each in spoken if each.name.upper() == codec])

    def _attach_video(self, transceiver: aiortc.RTCRtpTransceiver) -> None:
        transceiver.direction = self._role.ours
        self.warnings += aiortc_patches.patch_low_latency(transceiver)
        if self._role != sdp.DRIVER:
            self._send(transceiver.sender)
        if self._role != sdp.VIEWER:
            self.warnings += aiortc_patches.patch_sender_reports(transceiver.receiver, self._listener.on_report)
            self._receive_task = asyncio.create_task(self._receive(transceiver.receiver.track))

    def _attach_audio(self, transceiver: aiortc.RTCRtpTransceiver, payload_type: int | None) -> None:
        transceiver.direction = self._role.ours
        if self._role != sdp.DRIVER:
            self._voice = VoiceTrack()
            transceiver.sender.replaceTrack(self._voice)
        if self._role != sdp.VIEWER:
            self.receives_voice = True
            buffer = VoiceBuffer(payload_type, self._listener.on_voice)
            self.warnings += aiortc_patches.patch_voice_buffer(transceiver.receiver, buffer)

    def _send(self, sender: aiortc.RTCRtpSender) -> None:
        self._sender = sender
        sender.replaceTrack(self.track)
        lost = aiortc_patches.patch_rtcp_feedback(
            sender, self._on_keyframe, self._bitrate.on_remb, self._bitrate.on_loss
        )
        self.receives_feedback = not lost
        self.warnings += lost

    def _finish(self, answer: SessionDescription, mid: str) -> str:
        codec = next(media for media in answer.media if media.rtp.muxId == mid).rtp.codecs[0]
        self.codec = "H264" if codec.name.upper() == "H264" else "VP8"
        codec.parameters["x-google-start-bitrate"] = str(START_BITRATE)
        return sdp.with_short_packets(str(answer))

    async def _receive(self, track: MediaStreamTrack) -> None:
        """Pass on each frame at once, so that none waits in aiortc's unbounded queue."""
        with contextlib.suppress(MediaStreamError):
            while True:
                self._listener.on_frame(cast(av.VideoFrame, await track.recv()))

    def _on_gone(self, packet: Packet) -> None:
        if self._origin is None and self._sender and packet.size and packet.pts is not None:
            timestamp = aiortc_patches.sent_timestamp(self._sender)
            self._origin = None if timestamp is None else (timestamp - packet.pts) % TIMESTAMPS

    def _on_keyframe(self) -> None:
        self._keyframe_wanted = True

    def _on_state(self) -> None:
        if self._connection.connectionState == "connected":
            self._listener.on_connected()
        elif self._connection.connectionState in ("failed", "closed"):
            self._listener.on_end()

    def _on_channel(self, channel: aiortc.RTCDataChannel) -> None:
        if channel.label == CHANNEL:
            channel.on("message", partial(self._on_message, channel))

    def _on_message(self, channel: aiortc.RTCDataChannel, message: str | bytes) -> None:
        if not isinstance(message, str) or len(message) > LONGEST_MESSAGE:
            return
        reply = self._listener.on_message(message)
        if channel.readyState == "open" and channel.bufferedAmount < UNREAD_REPLIES:
            channel.send(reply)


def ice_transports(connection: aiortc.RTCPeerConnection) -> set[aiortc.RTCIceTransport]:
    """Return the transports of a connection: one if its sections are bundled."""
    transports = {transceiver.receiver.transport.transport for transceiver in connection.getTransceivers()}
    if connection.sctp is not None:
        transports.add(connection.sctp.transport.transport)
    return transports


async def hang_up(connection: aiortc.RTCPeerConnection) -> None:
    """Close a connection. While it connects, stop the transports first: aiortc would start senders after closing."""
    if connection.connectionState != "connected":
        for transport in ice_transports(connection):
            await transport.stop()
    await connection.close()
