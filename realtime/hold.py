"""The portrait held as it is, whatever its driver does."""

from __future__ import annotations

from dataclasses import replace

from pipeline.core.animator import Cue


class Freeze:
    """Used in one thread, but for `wanted`."""

    def __init__(self) -> None:
        self.wanted = False
        self._cue: Cue | None = None

    def held(self, cue: Cue) -> Cue:
        """The cue, or while it is wanted the first one since, of the portrait and with the options of now."""
        self._cue = (self._cue or cue) if self.wanted else None
        return replace(self._cue, portrait=cue.portrait, options=cue.options) if self._cue else cue
