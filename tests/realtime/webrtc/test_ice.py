"""Where media may go."""

from __future__ import annotations

import asyncio
from contextlib import closing
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Any

import pytest
from aioice import Connection

from realtime.webrtc.ice import AddressRule, NoPort, allowed_candidate, filter_candidates, open_port
from realtime.webrtc.settings import IceServer, MediaSettings

LOCAL = AddressRule(loopback_only=True, own=frozenset({"192.168.1.5"}))
STRICT = AddressRule(loopback_only=True, own=frozenset())
OPEN = AddressRule(loopback_only=False, own=frozenset())


def candidate(host: str, transport: str = "udp") -> str:
    return f"a=candidate:1 1 {transport} 2130706431 {host} 50000 typ host"


@pytest.mark.parametrize(
    ("rule", "host", "allowed"),
    [
        (LOCAL, "127.0.0.1", True),
        (LOCAL, "127.3.2.1", True),
        (LOCAL, "::1", True),
        (LOCAL, "192.168.1.5", True),
        (LOCAL, "192.168.1.6", False),
        (STRICT, "192.168.1.5", False),
        (STRICT, "127.0.0.1", True),
        (OPEN, "192.168.1.6", True),
        (OPEN, "fe80::1%eth0", True),
        (OPEN, "3c5a8e0e.local", False),
        (OPEN, "example.org", False),
        (OPEN, "", False),
    ],
)
def test_the_rule(rule: AddressRule, host: str, allowed: bool) -> None:
    assert rule.allows(host) is allowed


def test_the_rule_follows_the_settings() -> None:
    assert AddressRule.of(MediaSettings(strict=True)) == STRICT
    assert not AddressRule.of(MediaSettings(address="192.0.2.1", strict=True)).loopback_only


@pytest.mark.parametrize(
    "line",
    [
        candidate("192.168.1.6"),
        candidate("3c5a8e0e.local"),
        candidate("127.0.0.1", "tcp"),
        "a=candidate:",
        "a=candidate:1 1 udp x 127.0.0.1 y typ host",
        "a=candidate:1 1 udp 1 127.0.0.1",
    ],
)
def test_other_candidates_are_left_out(line: str) -> None:
    assert allowed_candidate(line, LOCAL) is None
    assert filter_candidates(f"v=0\r\n{line}\r\na=mid:0\r\n", LOCAL) == "v=0\r\na=mid:0\r\n"


def test_allowed_candidates_stay_and_the_end_mark_goes() -> None:
    offer = f"v=0\n{candidate('127.0.0.1')}\n{candidate('192.168.1.5', 'UDP')}\na=end-of-candidates\n"
    kept = filter_candidates(offer, LOCAL).split("\r\n")
    assert kept == ["v=0", candidate("127.0.0.1"), candidate("192.168.1.5", "UDP"), ""]


def test_a_line_that_is_no_candidate_is_none() -> None:
    assert allowed_candidate("a=mid:0", OPEN) is None


def test_ports_are_taken_from_the_range_until_none_is_left() -> None:
    async def bind_all() -> list[int]:
        settings = MediaSettings(ports=free_ports(2))
        assert settings.ports
        connection = Connection(ice_controlling=False)
        protocols = [await open_port(connection, settings, STRICT) for _ in range(2)]
        with pytest.raises(NoPort, match="widen the range"):
            await open_port(connection, settings, STRICT)
        for protocol in protocols:
            assert protocol.local_candidate.host == "127.0.0.1"
            await protocol.close()
        return [protocol.local_candidate.port - settings.ports[0] for protocol in protocols]

    assert asyncio.run(bind_all()) == [0, 1]


def test_an_address_of_another_machine_cannot_be_bound() -> None:
    async def bind() -> None:
        await open_port(Connection(ice_controlling=False), MediaSettings(address="192.0.2.1"), OPEN)

    with pytest.raises(NoPort, match=r"192\.0\.2\.1"):
        asyncio.run(bind())


def test_forbidden_sources_are_not_heard() -> None:
    async def heard(rule: AddressRule) -> int:
        connection = Connection(ice_controlling=False)
        received: list[bytes] = []
        connection.data_received = lambda data, component: received.append(data)  # type: ignore[method-assign]
        protocol = await open_port(connection, MediaSettings(), rule)
        for source in ("127.0.0.1", "192.168.1.5", "203.0.113.9"):
            protocol.datagram_received(b"\x80media", (source, 9))
        await protocol.close()
        return len(received)

    assert [asyncio.run(heard(rule)) for rule in (STRICT, LOCAL, OPEN)] == [1, 2, 3]


def free_ports(count: int) -> tuple[int, int]:
    """The first and last of `count` neighbouring UDP ports that are free now."""
    while True:
        with closing(socket(AF_INET, SOCK_DGRAM)) as probe:
            probe.bind(("127.0.0.1", 0))
            first: int = probe.getsockname()[1]
        try:
            for port in range(first, first + count):
                with closing(socket(AF_INET, SOCK_DGRAM)) as probe:
                    probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            continue
        return first, first + count - 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "localhost"},
        {"address": "0.0.0.0"},
        {"address": ""},
        {"ports": (0, 5)},
        {"ports": (9, 8)},
        {"ports": (9, 70000)},
        {"ice_servers": ("http://example.org",)},
        {"advertise": "puppet.example"},
        {"advertise": "0.0.0.0"},
        {"address": "", "advertise": "192.0.2.1"},
    ],
)
def test_settings_that_cannot_be_meant(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        MediaSettings(**wrong)


def test_with_an_advertised_address_all_may_be_bound() -> None:
    settings = MediaSettings("0.0.0.0", advertise="192.0.2.1")
    assert AddressRule.of(settings).loopback_only is False


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("stun:a.example:3478", IceServer("stun:a.example:3478")),
        ("turn:me:secret@a.example", IceServer("turn:a.example", "me", "secret")),
        ("turns:me:p@ss:w@a.example:5349", IceServer("turns:a.example:5349", "me", "p@ss:w")),
    ],
)
def test_the_credentials_of_an_ice_server(text: str, server: IceServer) -> None:
    assert IceServer.parse(text) == server


def test_one_port_is_a_range_of_one() -> None:
    ranges = (None, (40000, 40001), (40000, 40000))
    assert [MediaSettings(ports=ports).one_port for ports in ranges] == [False, False, True]
