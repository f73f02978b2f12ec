"""One UDP port for all connections of a server, as containers and firewalls need it.

Each connection keeps its own protocol. The multiplexer reads the port and finds the connection of each datagram: of a
STUN request by its username, once its integrity is verified (RFC 8445, 7.3); of a STUN response by its transaction; of
all others (DTLS and SRTP, RFC 7983) by a source address that was verified before. Other datagrams are dropped.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from aioice import Connection
from aioice.stun import Class, Message, parse_message

from realtime.webrtc.ice import AddressRule, GuardedStunProtocol, bind, host_candidate, new_protocol
from realtime.webrtc.settings import MediaSettings

LAST_STUN = 3  # the first byte of a STUN datagram is 0 to 3 (RFC 7983, 7)
SOURCES = 64  # addresses that one connection may come from

Source = tuple[str, int]

_ports: dict[MediaSettings, Mux] = {}  # open now


@asynccontextmanager
async def one_port(settings: MediaSettings) -> AsyncIterator[None]:
    """Let connections with these settings share their port, if they name a single one. Raise NoPort if it is in use."""
    if not settings.one_port:
        yield
        return
    _ports[settings] = mux = await bind(lambda: Mux(AddressRule.of(settings)), settings)
    try:
        yield
    finally:
        del _ports[settings]
        await mux.close()


def join(connection: Connection, settings: MediaSettings, rule: AddressRule) -> GuardedStunProtocol | None:
    """Return a connection's protocol on the shared port of these settings; None if there is no shared port."""
    mux = _ports.get(settings)
    if mux is None:
        return None
    protocol = new_protocol(connection, settings, rule)
    mux.add(protocol)
    protocol.local_candidate = host_candidate(settings, protocol.transport)
    return protocol


class Mux(asyncio.DatagramProtocol):
    """Reads the shared port for all connections. Lives on the event loop."""

    transport: asyncio.DatagramTransport

    def __init__(self, rule: AddressRule) -> None:
        self._rule = rule
        self._protocols: list[GuardedStunProtocol] = []
        self._owners: dict[Source, GuardedStunProtocol] = {}
        self._closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        source = (addr[0], addr[1])
        if data and self._rule.allows(source[0]):
            protocol = self._owners.get(source) if data[0] > LAST_STUN else self._of_stun(data, source)
            if protocol:
                protocol.datagram_received(data, addr)

    def add(self, protocol: GuardedStunProtocol) -> None:
        """Receive for `protocol`, too, until it closes its transport."""
        self._protocols.append(protocol)
        protocol.connection_made(_Share(self, protocol))

    def remove(self, protocol: GuardedStunProtocol) -> None:
        """Stop receiving for `protocol`."""
        self._protocols.remove(protocol)
        self._owners = {source: owner for source, owner in self._owners.items() if owner is not protocol}
        asyncio.get_running_loop().call_soon(protocol.connection_lost, None)

    async def close(self) -> None:
        """Close the port, and return when it is free."""
        self.transport.close()
        await self._closed.wait()

    def _of_stun(self, data: bytes, source: Source) -> GuardedStunProtocol | None:
        try:
            message = parse_message(data)
        except (ValueError, struct.error):
            return None
        if message.message_class == Class.REQUEST:
            return self._of_request(message, source)
        return next((each for each in self._protocols if message.transaction_id in each.transactions), None)

    def _of_request(self, message: Message, source: Source) -> GuardedStunProtocol | None:
        """Return the protocol whose username and password a request has, and remember `source` as its address."""
        username = str(message.attributes.get("USERNAME")).partition(":")[0]
        for protocol in self._protocols:
            connection = protocol.receiver
            password = connection.local_password.encode()
            if connection.local_username == username and message.check_message_integrity(password):
                if sum(owner is protocol for owner in self._owners.values()) < SOURCES:
                    self._owners[source] = protocol
                return protocol
        return None


class _Share(asyncio.DatagramTransport):
    """The shared port as the transport of one protocol; closing it leaves the port open."""

    def __init__(self, mux: Mux, protocol: GuardedStunProtocol) -> None:
        super().__init__()
        self._mux = mux
        self._protocol = protocol
        self._closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._mux.transport.get_extra_info(name, default)

    def sendto(self, data: Any, addr: Any = None) -> None:
        if not self._closing:
            self._mux.transport.sendto(data, addr)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._mux.remove(self._protocol)
