"""What a session shows besides its peers: a virtual camera, a recording, a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import av

from pipeline.core.animator import Motion, Planes


@dataclass(frozen=True, eq=False)
class ShownPicture:
    """A picture that a session drew, and when: monotonic seconds."""

    planes: Planes
    time: float
    driver: av.VideoFrame | None  # whose picture it is; None where the portrait idles
    motion: Motion | None = None  # of the driver's face in it


OutputName = Literal["virtual_camera", "recording", "motion", "preview"]


class Output(Protocol):
    """Another place for a session's pictures and its driver's voice. `show` and `add_audio` may not wait."""

    @property
    def name(self) -> OutputName:
        """A session has one of each at most."""

    def show(self, shown: ShownPicture) -> None:
        """Called in the session's thread, in the order of `time`."""

    def add_audio(self, audio: av.AudioFrame, time: float) -> None:
        """Called on the event loop. `audio` belongs to the picture that is shown at `time` (monotonic seconds)."""

    def report(self) -> Any:
        """For the session's statistics, under its name; fit for JSON. Any thread."""

    async def close(self) -> None:
        """Nothing is shown any more: finish, and return when nothing is left. May be called more than once."""
