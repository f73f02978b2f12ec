"""What the server can be told. The defaults of the command line live here, once."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.core.choices import BackendName, Precision
from pipeline.core.registry import AUTO, AnimatorSettings
from realtime.webrtc.settings import MediaSettings

Driver = Literal["browser", "whip"]  # whip: streams, too


@dataclass(frozen=True)
class Settings:
    """One server. `source` None is the built-in portrait; `password` None asks for none."""

    host: str = "127.0.0.1"
    port: int = 7860  # 0: any free port
    animator: str = AUTO
    source: Path | None = None
    portraits: Path | None = None  # the folder in which uploads are remembered
    size: int = AnimatorSettings.size  # pixels: the animated picture is size x size
    precision: Precision = AnimatorSettings.precision  # of LivePortrait's networks
    backend: BackendName = AnimatorSettings.backend  # how they run
    weights: Path | None = None  # the folder of LivePortrait's checkpoints, where they are not the fetched ones
    max_sessions: int = 4
    recordings: Path | None = None  # the folder that sessions are recorded into; None: in the user's for videos
    recordings_limit: int = 10  # GB of recordings in it
    media: MediaSettings = field(default_factory=MediaSettings)
    driver: Driver = "browser"
    password: str | None = None
    whip_token: str | None = None  # that streams and their viewers must show (WHIP, WHEP); None: as the rest
    allow_origins: tuple[str, ...] = ()  # pages of other origins that may start sessions: "https://host[:port]"
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None

    @property
    def scheme(self) -> str:
        return "https" if self.ssl_certfile else "http"

    @property
    def local(self) -> bool:
        """Bound to this machine alone."""
        return self.host == "localhost" or is_loopback(self.host)

    @property
    def origins(self) -> tuple[str, ...]:
        """`allow_origins` as browsers write them (RFC 6454)."""
        return tuple(origin.rstrip("/").lower() for origin in self.allow_origins)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
