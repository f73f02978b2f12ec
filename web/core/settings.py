"""The settings of the server. The command line takes its defaults from here."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.core.choices import BackendName, Precision
from pipeline.core.registry import AUTO, AnimatorSettings
from realtime.webrtc.settings import MediaSettings

Driver = Literal["browser", "whip"]  # whip: streams as well


@dataclass(frozen=True)
class Settings:
    """One server. `source` None: the built-in portrait. `password` None: no password is needed."""

    host: str = "127.0.0.1"
    port: int = 7860  # 0: any free port
    animator: str = AUTO
    source: Path | None = None
    portraits: Path | None = None  # the folder in which uploads are remembered
    size: int = AnimatorSettings.size  # pixels: the animated picture is size x size
    precision: Precision = AnimatorSettings.precision  # of LivePortrait's networks
    backend: BackendName = AnimatorSettings.backend  # how they run
    weights: Path | None = None  # folder of LivePortrait's checkpoints; None: the fetched ones
    max_sessions: int = 4
    recordings: Path | None = None  # folder of recordings; None: in the user's folder for videos
    recordings_limit: int = 10  # GB, of all recordings together
    media: MediaSettings = field(default_factory=MediaSettings)
    driver: Driver = "browser"
    password: str | None = None
    whip_token: str | None = None  # that streams and their viewers must send; None: as the other routes
    allow_origins: tuple[str, ...] = ()  # other sites that may open sessions: "https://host[:port]"
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host == "localhost" or is_loopback(self.host)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of `allow_origins` as browsers write them (RFC 6454)."""
        return tuple(origin.rstrip("/").lower() for origin in self.allow_origins)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
