"""Where media may flow."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from realtime.impairment import Impairment


class BadMediaSettings(ValueError):
    """Media cannot flow as these settings say; the text says what to change."""


@dataclass(frozen=True)
class MediaSettings:
    """The one address that media is bound to; no STUN, no TURN and no other candidate by default.

    BadMediaSettings where an address or a range cannot be meant.
    """

    address: str = "127.0.0.1"
    ports: tuple[int, int] | None = None  # first and last UDP port; None: any
    ice_servers: tuple[str, ...] = ()  # "stun:host[:port]" or "turn:user:password@host[:port]"
    strict: bool = False  # bound to loopback, accept loopback sources only (else every address of this machine)
    impairment: Impairment | None = None  # a bad network to try things on

    def __post_init__(self) -> None:
        if not _is_one_address(self.address):
            raise BadMediaSettings(f"Media needs one numeric address of this machine, not {self.address!r}.")
        if self.ports and not 1 <= self.ports[0] <= self.ports[1] <= 65535:
            raise BadMediaSettings(f"Media ports go from a lower to a higher one within 1 to 65535, not {self.ports}.")
        for url in self.ice_servers:
            if not url.startswith(("stun:", "turn:", "turns:")):
                raise BadMediaSettings(f"An ICE server begins with stun:, turn: or turns:, not {url!r}.")


def address_for(host: str) -> str:
    """Where media goes for a page on `host`: the same address, or loopback where `host` is a name or all addresses."""
    return host if _is_one_address(host) else MediaSettings.address


def _is_one_address(text: str) -> bool:
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        return False
