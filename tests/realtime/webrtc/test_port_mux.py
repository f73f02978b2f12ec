"""One UDP port for all connections: who a datagram reaches, on real sockets and with real sessions."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Any

import pytest
from aioice import Connection
from aioice.stun import Class, Message, Method, parse_message
from aiortc.sdp import SessionDescription

from realtime.session import SessionContext
from realtime.sessions import Sessions
from realtime.webrtc import port_mux
from realtime.webrtc.ice import AddressRule, GuardedStunProtocol, NoPort
from realtime.webrtc.impairment import Impairment
from realtime.webrtc.port_mux import join, one_port
from realtime.webrtc.sdp import DRIVER, VIEWER
from realtime.webrtc.settings import MediaSettings
from tests.realtime.webrtc.test_ice import STRICT, free_ports
from tests.support.fakes import FakeAnimator, FakePeer, FakeTracker, portrait
from tests.support.waiting import PATIENCE

MEDIA = b"\x80media"


class MuxClient:
    """A socket of its own on loopback that speaks STUN to the port."""

    def __init__(self, settings: MediaSettings) -> None:
        assert settings.ports
        self._server = settings.address, settings.ports[0]
        self._socket = socket(AF_INET, SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)

    async def ask(self, data: bytes) -> Message:
        """Send a datagram and wait for the answer to it."""
        self.send(data)
        received = asyncio.get_running_loop().sock_recv(self._socket, 2000)
        return parse_message(await asyncio.wait_for(received, PATIENCE))

    def answered(self) -> bool:
        """Whether an answer has come that nobody waited for."""
        try:
            return bool(self._socket.recv(2000))
        except BlockingIOError:
            return False

    def send(self, data: bytes) -> None:
        self._socket.sendto(data, self._server)

    def close(self) -> None:
        self._socket.close()


def request(username: str, password: str = "", **attributes: Any) -> bytes:
    """A connectivity check for the connection with this username."""
    message = Message(Method.BINDING, Class.REQUEST)
    message.attributes |= {"USERNAME": f"{username}:them", "PRIORITY": 1, "ICE-CONTROLLING": 1, **attributes}
    if password:
        message.add_message_integrity(password.encode())
    return bytes(message)


class Member:
    """A connection that shares the port, and what media it heard."""

    def __init__(self, settings: MediaSettings) -> None:
        self.connection = Connection(ice_controlling=False)
        self.heard: list[bytes] = []
        self.connection.data_received = lambda data, component: self.heard.append(data)  # type: ignore[method-assign]
        protocol = join(self.connection, settings, AddressRule.of(settings))
        assert protocol
        self.protocol: GuardedStunProtocol = protocol

    def check(self, **attributes: Any) -> bytes:
        return request(self.connection.local_username, self.connection.local_password, **attributes)


def with_port(
    scene: Callable[[MediaSettings, list[Member], MuxClient], Awaitable[Any]], count: int = 2, **settings: Any
) -> Any:
    """Open a port, share it among `count` connections, let `scene` happen, and close all."""

    async def run() -> Any:
        media = MediaSettings(strict=True, ports=free_ports(1), **settings)
        async with one_port(media):
            members = [Member(media) for _ in range(count)]
            with closing(MuxClient(media)) as client:
                result = await scene(media, members, client)
                assert not client.answered()
            for member in members:
                await member.protocol.close()
            return result

    return asyncio.run(run())


async def settle(media: MediaSettings) -> None:
    """Wait until the port has dealt with what was sent to it: it then answers somebody else, twice."""
    stranger = Member(media)
    with closing(MuxClient(media)) as client:
        for _ in range(2):
            await client.ask(stranger.check())
    await stranger.protocol.close()


def test_each_connection_answers_to_its_own_name_on_the_same_port() -> None:
    async def scene(media: MediaSettings, members: list[Member], client: MuxClient) -> list[bool]:
        proven = []
        for member in members:
            answer = await client.ask(member.check())
            assert answer.message_class == Class.RESPONSE
            proven.append(answer.check_message_integrity(member.connection.local_password.encode()))
        return proven

    assert with_port(scene) == [True, True]


def test_media_goes_to_whom_its_source_proved_itself() -> None:
    async def scene(media: MediaSettings, members: list[Member], client: MuxClient) -> list[list[bytes]]:
        first, second = members
        client.send(MEDIA)  # nobody's yet
        await client.ask(first.check())
        client.send(MEDIA + b"1")
        with closing(MuxClient(media)) as other:
            await other.ask(second.check())
            other.send(MEDIA + b"2")
            client.send(MEDIA + b"3")
            await settle(media)
        return [first.heard, second.heard]

    assert with_port(scene) == [[MEDIA + b"1", MEDIA + b"3"], [MEDIA + b"2"]]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0" * 20,
        b"\1\1" + b"\xff" * 18,
        b"\x17junk",
        request("nobody", "a password of nobody's"),
        bytes(Message(Method.BINDING, Class.REQUEST)),
        bytes(Message(Method.BINDING, Class.INDICATION)),
        bytes(Message(Method.BINDING, Class.RESPONSE)),
        bytes(Message(Method.BINDING, Class.ERROR)),
        struct.pack("!HHI12sHH", 1, 6, 0x2112A442, b"x" * 12, 0x24, 2) + b"\0\0",  # a PRIORITY of two bytes
        b"\0\1" + bytes(range(256)) * 5,
    ],
)
def test_what_is_nobodys_is_dropped(data: bytes) -> None:
    async def scene(media: MediaSettings, members: list[Member], client: MuxClient) -> list[bytes]:
        client.send(data)
        await settle(media)
        assert not client.answered()
        await client.ask(members[0].check())
        return members[0].heard + members[1].heard

    assert with_port(scene) == []


def test_a_forged_check_gets_no_answer_and_no_media() -> None:
    async def scene(media: MediaSettings, members: list[Member], client: MuxClient) -> list[Any]:
        name = members[0].connection.local_username
        other = members[1].connection.local_password
        for password in ("", "a wrong password", other):
            client.send(request(name, password))
        client.send(members[0].check().replace(b"them", b"then"))  # after it was signed
        client.send(MEDIA)
        await settle(media)
        return [client.answered(), members[0].heard, members[1].heard]

    assert with_port(scene) == [False, [], []]


def test_sources_that_the_rule_forbids_are_not_heard() -> None:
    async def scene(media: MediaSettings, members: list[Member], client: MuxClient) -> list[bytes]:
        port = port_mux._ports[media]
        for source in ("127.0.0.1", "203.0.113.9", "192.168.1.5"):
            port.datagram_received(members[0].check(), (source, 9))
            port.datagram_received(source.encode().rjust(20, b"\x80"), (source, 9))
        return [data.lstrip(b"\x80") for data in members[0].heard]

    assert with_port(scene) == [b"127.0.0.1"]


def test_who_leaves_is_heard_no_more_and_the_others_stay() -> None:
    async def scene(media: MediaSettings, members: list[Member], client: MuxClient) -> list[Any]:
        first, second = members
        await client.ask(first.check())
        await first.protocol.close()
        await first.protocol.close()  # once is enough, twice does no harm
        client.send(MEDIA)
        client.send(first.check())
        await settle(media)
        gone = not client.answered()
        await client.ask(second.check())
        return [gone, first.heard]

    assert with_port(scene) == [True, []]


def test_an_address_that_serves_anew_belongs_to_the_newest() -> None:
    async def scene(media: MediaSettings, members: list[Member], client: MuxClient) -> list[list[bytes]]:
        for member in members:
            await client.ask(member.check())
        client.send(MEDIA)
        await settle(media)
        return [member.heard for member in members]

    assert with_port(scene) == [[], [MEDIA]]


def test_no_connection_comes_from_endless_addresses() -> None:
    async def scene(media: MediaSettings, members: list[Member], client: MuxClient) -> int:
        port = port_mux._ports[media]
        for number in range(10 * port_mux.SOURCES):
            port.datagram_received(members[0].check(), ("127.0.0.1", 1000 + number))
        return len(port._owners)

    assert with_port(scene) == port_mux.SOURCES


def test_the_candidate_names_the_port_and_the_advertised_address() -> None:
    async def scene(media: MediaSettings, members: list[Member], client: MuxClient) -> set[tuple[str, int]]:
        assert media.ports
        return {
            (each.protocol.local_candidate.host, each.protocol.local_candidate.port - media.ports[0])
            for each in members
        }

    assert with_port(scene) == {("127.0.0.1", 0)}
    assert with_port(scene, advertise="192.0.2.7") == {("192.0.2.7", 0)}


def test_the_port_is_free_again_afterwards_and_taken_meanwhile() -> None:
    async def run() -> None:
        media = MediaSettings(strict=True, ports=free_ports(1))
        for _ in range(2):
            async with one_port(media):
                with pytest.raises(NoPort, match="in use"):
                    async with one_port(replace(media, strict=False)):
                        pass
            assert join(Connection(ice_controlling=False), media, STRICT) is None

    asyncio.run(run())


@pytest.mark.parametrize("ports", [None, (40000, 40001)])
def test_a_range_is_not_shared(ports: tuple[int, int] | None) -> None:
    async def run() -> object:
        media = MediaSettings(ports=ports)
        async with one_port(media):
            return join(Connection(ice_controlling=False), media, STRICT)

    assert asyncio.run(run()) is None


@pytest.mark.parametrize("impairment", [None, Impairment(loss=0.02, delay=0.02)])
def test_two_sessions_and_a_viewer_share_a_port(impairment: Impairment | None) -> None:
    async def run() -> tuple[int, int]:
        media = MediaSettings(strict=True, ports=free_ports(1), impairment=impairment)
        sessions = Sessions(SessionContext(FakeAnimator(), FakeTracker, portrait(), media))
        peers = [FakePeer(), FakePeer(role=DRIVER), FakePeer(role=VIEWER)]
        browser, streamer, viewer = peers
        async with one_port(media):
            first = await sessions.open(await browser.offer())
            second = await sessions.open(await streamer.offer(), role=DRIVER)
            third = await second[0].viewers.open(await viewer.offer())
            answers = [first[1], second[1], third[1]]
            for peer, answer in zip(peers, answers, strict=True):
                await peer.accept(answer)
            await browser.number()
            await viewer.number()
            await sessions.close(first[0].id)
            for _ in range(30):
                await viewer.number()
            for peer in peers:
                await peer.close()
            await sessions.close_all()
        candidates = [each for answer in answers for each in SessionDescription.parse(answer).media[0].ice_candidates]
        assert media.ports
        return len(candidates), len({(each.ip, each.port) for each in candidates} - {("127.0.0.1", media.ports[0])})

    assert asyncio.run(run()) == (3, 0)


class Forwarder(asyncio.DatagramProtocol):
    """Calls what it is given with each datagram and its source."""

    def __init__(self, forward: Callable[[bytes, tuple[str, int]], object]) -> None:
        self._forward = forward

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._forward(data, addr)


class Nat:
    """Forwards a port of 127.0.0.1 to the same of 127.0.0.2, and what is answered back, as a container's does."""

    async def open(self, port: int) -> None:
        self._loop, self._port = asyncio.get_running_loop(), port
        self._inner: dict[tuple[str, int], asyncio.DatagramTransport] = {}
        at = "127.0.0.1", port
        self._outer, _ = await self._loop.create_datagram_endpoint(lambda: Forwarder(self._inwards), local_addr=at)

    def _inwards(self, data: bytes, source: tuple[str, int]) -> asyncio.Task[None]:
        return self._loop.create_task(self._send(data, source))

    async def _send(self, data: bytes, source: tuple[str, int]) -> None:
        if source not in self._inner:
            back = Forwarder(lambda answer, _: self._outer.sendto(answer, source))
            to = "127.0.0.2", self._port
            self._inner[source], _ = await self._loop.create_datagram_endpoint(lambda: back, remote_addr=to)
        self._inner[source].sendto(data)

    def close(self) -> None:
        for transport in (self._outer, *self._inner.values()):
            transport.close()


def test_behind_a_nat_the_advertised_address_is_reached() -> None:
    async def run() -> int:
        ports = free_ports(1)
        media = MediaSettings("127.0.0.2", ports, strict=True, advertise="127.0.0.1")
        nat = Nat()
        await nat.open(ports[0])
        sessions = Sessions(SessionContext(FakeAnimator(), FakeTracker, portrait(), media))
        peer = FakePeer()
        async with one_port(media):
            lines = (await peer.offer()).splitlines(keepends=True)
            _, answer = await sessions.open("".join(line for line in lines if not line.startswith("a=candidate")))
            await peer.accept(answer)
            number = await peer.number()
            await peer.close()
            await sessions.close_all()
        nat.close()
        return number

    assert asyncio.run(run()) > 0
