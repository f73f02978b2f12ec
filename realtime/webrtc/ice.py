"""Where media may go: the rule for addresses, the filter of a peer's candidates, and the ports that keep the rule.

RFC 8445 (ICE), RFC 8839 (candidates in SDP). Host names (mDNS) are never looked up: such a peer becomes known by its
own connectivity checks.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any, TypeVar

from aioice import Candidate, Connection
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, get_host_addresses
from aioice.stun import Message
from aioice.turn import UDP_SOCKET_BUFFER_SIZE

from realtime.webrtc.impairment import Delivery, Impairment, Link
from realtime.webrtc.settings import MediaSettings

Reader = TypeVar("Reader", bound=asyncio.DatagramProtocol)


class NoPort(RuntimeError):
    """Media cannot be bound as the settings say; the text says what to change."""


@dataclass(frozen=True)
class AddressRule:
    """Which addresses media may be exchanged with: only this machine's if bound to loopback, else all numeric ones."""

    loopback_only: bool  # bound to a loopback address
    own: frozenset[str]  # this machine's other addresses: a browser may send from them to loopback

    @classmethod
    def of(cls, settings: MediaSettings) -> AddressRule:
        own = () if settings.strict else get_host_addresses(use_ipv4=True, use_ipv6=True)
        return cls(ipaddress.ip_address(settings.address).is_loopback, frozenset(own))

    def allows(self, host: str) -> bool:
        """Return whether media may be exchanged with `host`; False if it is not a numeric address."""
        bare = host.partition("%")[0]  # without an IPv6 zone
        try:
            address = ipaddress.ip_address(bare)
        except ValueError:
            return False
        return not self.loopback_only or address.is_loopback or bare in self.own


def filter_candidates(sdp: str, rule: AddressRule) -> str:
    """Return `sdp` without forbidden candidates, TCP candidates, and the end-of-candidates mark.

    With the mark and no candidate left, the session would end before the peer's own checks arrive.
    """
    return "".join(line + "\r\n" for line in sdp.splitlines() if _keeps(line.strip(), rule))


def allowed_candidate(line: str, rule: AddressRule) -> Candidate | None:
    """Parse an "a=candidate:" line; None if it is malformed, not over UDP, or against the rule."""
    try:
        candidate = Candidate.from_sdp(line.removeprefix("a=candidate:"))
    except ValueError:
        return None
    return candidate if candidate.transport.lower() == "udp" and rule.allows(candidate.host) else None


def _keeps(line: str, rule: AddressRule) -> bool:
    if line.startswith("a=candidate:"):
        return allowed_candidate(line, rule) is not None
    return line != "a=end-of-candidates"


class GuardedStunProtocol(StunProtocol):
    """Receives only from sources that the rule allows."""

    def __init__(self, connection: Connection, rule: AddressRule) -> None:
        super().__init__(connection)
        self._rule = rule

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        if self._rule.allows(addr[0]):
            super().datagram_received(data, addr)


class ImpairedStunProtocol(GuardedStunProtocol):
    """Behind a simulated bad network."""

    def __init__(self, connection: Connection, rule: AddressRule, impairment: Impairment) -> None:
        super().__init__(connection, rule)
        self._inwards = Delivery(Link(impairment, seed=1), self._receive)
        self._outwards = Delivery(Link(impairment, seed=2), self._send)

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        self._inwards.send(data, addr)

    async def send_data(self, data: bytes, addr: tuple[str, int]) -> None:
        self._outwards.send(data, addr)

    def send_stun(self, message: Message, addr: tuple[str, int]) -> None:
        self._outwards.send(bytes(message), addr)

    def _receive(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        if not self.transport.is_closing():
            super().datagram_received(data, addr)

    def _send(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.transport.is_closing():
            self.transport.sendto(data, addr)


async def open_port(connection: Connection, settings: MediaSettings, rule: AddressRule) -> GuardedStunProtocol:
    """Bind a UDP port as the settings say, with its host candidate. Raise NoPort if that fails."""
    protocol = await bind(lambda: new_protocol(connection, settings, rule), settings)
    protocol.local_candidate = host_candidate(settings, protocol.transport)
    return protocol


async def bind(new: Callable[[], Reader], settings: MediaSettings) -> Reader:
    """Return a new protocol on the first free UDP port of the settings. Raise NoPort if there is none."""
    loop = asyncio.get_running_loop()
    for port in _ports(settings):
        try:
            transport, protocol = await loop.create_datagram_endpoint(new, local_addr=(settings.address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            sentence = f"Media cannot use the address {settings.address} ({error.strerror}); choose another."
            raise NoPort(sentence) from None
        # As aioice does for its own ports: room for a burst while the event loop is busy.
        transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, UDP_SOCKET_BUFFER_SIZE)
        return protocol
    raise NoPort("Every UDP port of the media range is in use; close a session or widen the range.")


def new_protocol(connection: Connection, settings: MediaSettings, rule: AddressRule) -> GuardedStunProtocol:
    """Return the protocol that a connection sends and receives through."""
    if settings.impairment is None:
        return GuardedStunProtocol(connection, rule)
    return ImpairedStunProtocol(connection, rule, settings.impairment)


def _ports(settings: MediaSettings) -> Iterable[int]:
    if settings.ports is None:
        return [0]
    first, last = settings.ports
    return range(first, last + 1)


def host_candidate(settings: MediaSettings, transport: asyncio.BaseTransport) -> Candidate:
    """Return the candidate by which peers reach a bound port."""
    bound, port = transport.get_extra_info("sockname")[:2]
    host = settings.advertise or bound
    return Candidate(
        foundation=candidate_foundation("host", "udp", host),
        component=1,  # RTP and RTCP share it
        transport="udp",
        priority=candidate_priority(1, "host"),
        host=host,
        port=port,
        type="host",
    )
