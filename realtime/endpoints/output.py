"""Where a session shows its pictures besides its peers: a virtual camera, a recording, a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import av

from pipeline.core.animator import Motion, Planes


@dataclass(frozen=True, eq=False)
class ShownPicture:
    """A picture that a session drew, and when (monotonic seconds)."""

    planes: Planes
    time: float
    driver: av.VideoFrame | None  # the frame that drove it; None if the portrait idles
    motion: Motion | None = None  # of the driver's face in it


OutputName = Literal["virtual_camera", "recording", "motion", "preview"]


class Output(Protocol):
    """A further place for a session's pictures and its driver's voice. `show` and `add_audio` must not block."""

    name: OutputName  # a session has at most one output of each name

    def show(self, shown: ShownPicture) -> None:
        """Show a picture. Called in the session's thread, in the order of `time`."""

    def add_audio(self, audio: av.AudioFrame, time: float) -> None:
        """Add sound of the picture shown at `time` (monotonic seconds), on the event loop. Silent outputs do not."""
        return

    def report(self) -> Any:
        """Return what the session's statistics have under its name, as JSON values. For any thread."""

    async def close(self) -> None:
        """Finish, and return when nothing is left. May be called more than once."""
