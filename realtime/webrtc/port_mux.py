"""One UDP port for all connections of a server, as containers and firewalls want it.

Each connection keeps a protocol of its own. This one reads the port and finds out whose a datagram is: a STUN request
by the username in it, once its integrity is proven (RFC 8445, 7.3); a STUN response by its transaction; all else, which
is DTLS and SRTP (RFC 7983), by an address that proved itself before. What is nobody's is dropped.
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

_ports: dict[MediaSettings, Mux] = {}  # that are open now


@asynccontextmanager
async def one_port(settings: MediaSettings) -> AsyncIterator[None]:
    """Inside, connections with these settings share a port, where they name a single one. NoPort where it is in use."""
    if not settings.one_port:
        yield
        return
    _ports[settings] = mux = await bind(lambda: Mux(AddressRule.of(settings)), settings)
    try:
        yield
    finally:
        del _ports[settings]
        await mux.close()


def join(
    connection: Connection, component: int, settings: MediaSettings, rule: AddressRule
) -> GuardedStunProtocol | None:
    """A connection's share of the port that is open for these settings, with its host candidate; None without one."""
    mux = _ports.get(settings)
    if mux is None:
        return None
    protocol = new_protocol(connection, settings, rule)
    mux.add(protocol)
    protocol.local_candidate = host_candidate(component, settings, protocol.transport)
    return protocol


class Mux(asyncio.DatagramProtocol):
    """Reads the port for all. Lives on the event loop."""

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
        """Hand it to the one that it is for."""
        source = (addr[0], addr[1])
        if data and self._rule.allows(source[0]):
            protocol = self._owners.get(source) if data[0] > LAST_STUN else self._of_stun(data, source)
            if protocol:
                protocol.datagram_received(data, addr)

    def add(self, protocol: GuardedStunProtocol) -> None:
        """Read for `protocol`, too, until it closes its transport."""
        self._protocols.append(protocol)
        protocol.connection_made(_Share(self, protocol))

    def remove(self, protocol: GuardedStunProtocol) -> None:
        """Read for it no longer."""
        self._protocols.remove(protocol)
        self._owners = {source: owner for source, owner in self._owners.items() if owner is not protocol}
        asyncio.get_running_loop().call_soon(protocol.connection_lost, None)

    async def close(self) -> None:
        """Free the port, and return when it is free."""
        self.transport.close()
        await self._closed.wait()

    def _of_stun(self, data: bytes, source: Source) -> GuardedStunProtocol | None:
        try:
            message = parse_message(data)
        except (ValueError, struct.error):
            return None
        if message.message_class == Class.REQUEST:
            return self._called(message, source)
        return next((each for each in self._protocols if message.transaction_id in each.transactions), None)

    def _called(self, message: Message, source: Source) -> GuardedStunProtocol | None:
        """Whose username a request has, proven with its password; from here on `source` is its address."""
        username = str(message.attributes.get("USERNAME")).partition(":")[0]
        for protocol in self._protocols:
            connection = protocol.receiver
            if connection.local_username == username and message.check_message_integrity(
                connection.local_password.encode()
            ):
                self._learn(source, protocol)
                return protocol
        return None

    def _learn(self, source: Source, protocol: GuardedStunProtocol) -> None:
        if sum(owner is protocol for owner in self._owners.values()) < SOURCES:
            self._owners[source] = protocol


class _Share(asyncio.DatagramTransport):
    """The port as one protocol sees it: closed alone."""

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
