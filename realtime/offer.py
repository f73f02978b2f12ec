"""What an SDP offer must have to be answered, by who makes it. Pure: text in, a section or a sentence out."""

from __future__ import annotations

from dataclasses import dataclass

from aiortc.sdp import MediaDescription, SessionDescription

from realtime.codec import CODECS, CodecName

MEDIA_SECTIONS = 8
NO_CODEC = "The offer has no codec that this server speaks: offer H264 (baseline, packetization mode 1) or VP8."


class BadOffer(ValueError):
    """The session description or the candidates cannot be used; the text says what is wrong with them."""


@dataclass(frozen=True)
class Role:
    """Who is at the other end, by the direction of the video that it offers and of ours."""

    offered: str
    ours: str
    way: str
    remedy: str


CAMERA = "add the camera's track to the connection"
PUPPETEER = Role("sendrecv", "sendrecv", "go both ways", CAMERA)
DRIVER = Role("sendonly", "recvonly", "come here", CAMERA)  # only sends (WHIP, RFC 9725)
VIEWER = Role("recvonly", "sendonly", "go away from here", "add a transceiver that receives video")  # WHEP


def video_section(offer: str, role: Role = PUPPETEER, codec: CodecName | None = None) -> MediaDescription:
    """The section of an SDP offer whose video goes as the role says. BadOffer where there is none."""
    try:
        sections: list[MediaDescription] = SessionDescription.parse(offer).media
    except Exception as error:  # aiortc meets what strangers wrote with errors of every kind
        raise BadOffer("This is not a session description (SDP).") from error
    if len(sections) > MEDIA_SECTIONS:
        raise BadOffer(f"The offer has {len(sections)} media sections; {MEDIA_SECTIONS} is the most.")
    video = [section for section in sections if section.kind == "video" and section.port]
    if not video:
        raise BadOffer(f"The offer has no video; {role.remedy} before the offer is made.")
    fitting = [section for section in video if section.direction == role.offered]
    if not fitting:
        raise BadOffer(f"The offer's video does not {role.way}; its direction must be {role.offered}.")
    spoken = {each.name.upper() for each in fitting[0].rtp.codecs}
    if codec and codec not in spoken:
        raise BadOffer(f"This session's video is {codec}, which the offer does not have; offer it.")
    if not spoken & set(CODECS):
        raise BadOffer(NO_CODEC)
    return fitting[0]
