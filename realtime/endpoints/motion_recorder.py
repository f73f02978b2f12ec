"""Records a driver's motion in a file that `animate --motion` replays. LivePortrait only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.core.animator import Motion
from pipeline.face.face import Face
from realtime.core.threads import in_thread
from realtime.endpoints.constant_rate import ConstantRate
from realtime.endpoints.output import Output, OutputName, ShownPicture
from realtime.endpoints.recorder import RecordingError

MOST_SECONDS = 1200  # kept in memory, at about 3 KB a frame


class MotionRecorder(Output):
    """Collects motion at a constant rate, from the first face on, and writes it when it is closed.

    While the face is lost, its last motion stays. In the replay, the first frame is the neutral.
    """

    name: OutputName = "motion"

    def __init__(self, path: Path, fps: int = 30) -> None:
        """For a session whose animator is LivePortrait. Raise RecordingError if the folder of `path` does not exist."""
        if not path.parent.is_dir():
            raise RecordingError(f"The folder {path.parent} for the motion does not exist; create it first.")
        self.path = path
        self._fps = fps
        self._ticks: ConstantRate[Motion | None] = ConstantRate(fps)
        self._motions: list[Motion | None] = []
        self._face: Face | None = None
        self._problem: str | None = None

    def show(self, shown: ShownPicture) -> None:
        if self._ticks.given >= MOST_SECONDS * self._fps:
            self._problem = f"The motion of {MOST_SECONDS // 60} minutes is recorded; a recording cannot be longer."
        elif shown.motion or self._ticks.start is not None:
            self._motions += self._ticks.add(self._slim(shown.motion), shown.time)

    def _slim(self, motion: Motion | None) -> Motion | None:
        """Replace the landmarks by the first ones: templates have none, and they would take most of the memory."""
        if motion is None:
            return None
        self._face = self._face or motion.face
        return replace(motion, face=self._face)

    def report(self) -> dict[str, Any]:
        """Return the file's name, how long it is, and what went wrong."""
        seconds = round(self._ticks.given / self._fps, 2)
        return {"name": self.path.name, "seconds": seconds, "problem": self._problem}

    async def close(self) -> None:
        """Write the file, if there was a face."""
        motions = self._motions + self._ticks.end()
        self._motions = []
        if motions:
            await in_thread(lambda: self._save(motions))

    def _save(self, motions: list[Motion | None]) -> None:
        from pipeline.files.liveportrait_jobs import to_template
        from pipeline.liveportrait.templates import save_template

        try:
            save_template(self.path, to_template(motions, self.path, self._fps))
        except OSError as error:
            self._problem = f"The motion cannot be written ({error.strerror}); is there room for it?"
