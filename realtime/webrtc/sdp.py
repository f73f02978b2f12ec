"""Checks of SDP offers. Pure: text in, a section of it or an error out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiortc.sdp import MediaDescription, SessionDescription

from realtime.webrtc.codec import CODECS, CodecName

MEDIA_SECTIONS = 8
OPUS = re.compile("a=rtpmap:[0-9]+ opus/", re.IGNORECASE)
NO_CODEC = "The offer has no codec that this server supports: offer H264 (baseline, packetization mode 1) or VP8."


class BadOffer(ValueError):
    """The session description or its candidates cannot be used; the text says why."""


class NoCommonCodec(BadOffer):
    """The two ends have no codec in common."""

    def __init__(self, sentence: str = NO_CODEC) -> None:
        super().__init__(sentence)


class IceRestart(ValueError):
    """The peer asks for an ICE restart."""

    def __str__(self) -> str:
        return "This server cannot restart ICE; end this connection and make a new one."


@dataclass(frozen=True)
class Role:
    """Who is at the other end: which directions of the video it may offer, and which one we answer."""

    offered: tuple[str, ...]
    ours: str
    way: str  # for error messages
    remedy: str


CAMERA = "add the camera's track to the connection"
PUPPETEER = Role(("sendrecv",), "sendrecv", "go both ways", CAMERA)
# WHIP (RFC 9725, 4.2) and WHEP (draft-ietf-wish-whep-03, 4.2): one way, but a client may offer both.
DRIVER = Role(("sendonly", "sendrecv"), "recvonly", "come to this server", CAMERA)
VIEWER = Role(("recvonly", "sendrecv"), "sendonly", "come from this server", "add a transceiver that receives video")


def video_section(offer: str, role: Role = PUPPETEER, codec: CodecName | None = None) -> MediaDescription:
    """Return the video section that fits the role. Raise BadOffer if there is none, NoCommonCodec for its codecs."""
    try:
        sections: list[MediaDescription] = SessionDescription.parse(offer).media
    except Exception as error:  # aiortc raises anything for bad input
        raise BadOffer("This is not a session description (SDP).") from error
    if len(sections) > MEDIA_SECTIONS:
        raise BadOffer(f"The offer has {len(sections)} media sections; {MEDIA_SECTIONS} is the most.")
    video = [section for section in sections if section.kind == "video" and section.port]
    if not video:
        raise BadOffer(f"The offer has no video; {role.remedy} before the offer is made.")
    fitting = [section for section in video if section.direction in role.offered]
    if not fitting:
        directions = " or ".join(role.offered)
        raise BadOffer(f"The offer's video must {role.way}; its direction must be {directions}.")
    spoken = {each.name.upper() for each in fitting[0].rtp.codecs}
    if codec and codec not in spoken:
        raise NoCommonCodec(f"This session's video is {codec}, which the offer does not have; offer it.")
    if not spoken & set(CODECS):
        raise NoCommonCodec
    return fitting[0]


def voice_section(offer: str, role: Role = PUPPETEER) -> MediaDescription | None:
    """Return the audio section that fits the role and prefers Opus; None if there is none."""
    for section in SessionDescription.parse(offer).media:
        fits = section.kind == "audio" and section.port and section.direction in role.offered
        if fits and section.rtp.codecs and section.rtp.codecs[0].name.lower() == "opus":
            return section
    return None


def with_short_packets(answer: str) -> str:
    """Add to the SDP `answer` a request for Opus packets of 10 ms (a=ptime, RFC 8866, 6.4): short ones leave sooner."""
    lines = [f"{line}a=ptime:10\r\n" if OPUS.match(line) else line for line in answer.splitlines(keepends=True)]
    return "".join(lines)


def ice_usernames(sdp: str) -> frozenset[str]:
    """Return the ICE username fragments in (a part of) a session description; they identify ICE sessions (RFC 8839)."""
    mark = "a=ice-ufrag:"
    return frozenset(line.strip().removeprefix(mark) for line in sdp.splitlines() if line.startswith(mark))
