"""Where media may flow."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from realtime.webrtc.impairment import Impairment


class BadMediaSettings(ValueError):
    """These settings do not work; the text says what to change."""


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server: its URL (RFC 7064, RFC 7065) and its credentials, apart, as browsers need it."""

    urls: str
    username: str = ""
    credential: str = ""

    @classmethod
    def parse(cls, text: str) -> IceServer:
        """Parse "stun:host[:port]" or "turn:user:password@host[:port]"."""
        scheme, _, rest = text.partition(":")
        credentials, at, host = rest.rpartition("@")
        if not at:
            return cls(text)
        user, _, password = credentials.partition(":")
        return cls(f"{scheme}:{host}", user, password)


@dataclass(frozen=True)
class MediaSettings:
    """The one address that media is bound to. By default there is no STUN, no TURN and no other candidate.

    Raises BadMediaSettings if an address or a range is not valid.
    """

    address: str = "127.0.0.1"
    ports: tuple[int, int] | None = None  # first and last UDP port; None: any. One port serves all connections
    ice_servers: tuple[str, ...] = ()  # "stun:host[:port]" or "turn:user:password@host[:port]"
    strict: bool = False  # if bound to loopback, accept loopback sources only (else every address of this machine)
    impairment: Impairment | None = None  # a simulated bad network, for tests
    advertise: str | None = None  # the address in our candidates, if a NAT or a container is in front of `address`

    def __post_init__(self) -> None:
        if not (_is_one_address(self.address) or (self.advertise and _is_address(self.address))):
            raise BadMediaSettings(f"Media needs one numeric address of this machine, not {self.address!r}.")
        if self.advertise and not _is_one_address(self.advertise):
            raise BadMediaSettings(f"The address to advertise must be one numeric address, not {self.advertise!r}.")
        if self.ports and not 1 <= self.ports[0] <= self.ports[1] <= 65535:
            raise BadMediaSettings(f"Media ports go from a lower to a higher one within 1 to 65535, not {self.ports}.")
        for url in self.ice_servers:
            if not url.startswith(("stun:", "turn:", "turns:")):
                raise BadMediaSettings(f"An ICE server begins with stun:, turn: or turns:, not {url!r}.")

    @property
    def one_port(self) -> bool:
        """Whether all connections of a server share a port."""
        return self.ports is not None and self.ports[0] == self.ports[1]


def address_for(host: str) -> str:
    """Return the media address for a page on `host`: the same, or loopback if `host` is a name or stands for all."""
    return host if _is_one_address(host) else MediaSettings.address


def _is_one_address(text: str) -> bool:
    return _is_address(text) and not ipaddress.ip_address(text).is_unspecified


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
