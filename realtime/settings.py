"""Where media may flow."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True)
class MediaSettings:
    """The one address that media is bound to; no STUN, no TURN and no other candidate by default.

    ValueError, with a sentence, where an address or a range cannot be meant.
    """

    address: str = "127.0.0.1"
    ports: tuple[int, int] | None = None  # first and last UDP port; None: any
    ice_servers: tuple[str, ...] = ()  # "stun:host[:port]" or "turn:user:password@host[:port]"
    strict: bool = False  # bound to loopback, accept loopback sources only (else every address of this machine)

    def __post_init__(self) -> None:
        if not _is_one_address(self.address):
            raise ValueError(f"Media needs one numeric address of this machine, like 127.0.0.1, not {self.address!r}.")
        if self.ports and not 1 <= self.ports[0] <= self.ports[1] <= 65535:
            raise ValueError(f"Media ports go from a lower to a higher one within 1 to 65535, not {self.ports}.")
        for url in self.ice_servers:
            if not url.startswith(("stun:", "turn:", "turns:")):
                raise ValueError(f"An ICE server begins with stun:, turn: or turns:, not {url!r}.")


def _is_one_address(text: str) -> bool:
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        return False
