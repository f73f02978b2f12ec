"""A third animator, as small as one can be: it tints the portrait by how far the driver's mouth is open."""

from __future__ import annotations

import numpy as np

from pipeline.core.animator import Cue, Layout, Motion, Picture, Portrait
from pipeline.core.registry import AnimatorSettings, Loaded
from pipeline.face.find import find_faces
from pipeline.imaging.finish import finish
from pipeline.imaging.source_picture import choose_face, portrait_key


class Toy:
    name, supports, capabilities = "toy", frozenset({"mirror", "badge"}), frozenset()

    def __init__(self, settings: AnimatorSettings) -> None:
        self._settings = settings

    def warm_up(self, progress): ...

    def prepare(self, picture: Picture) -> Portrait:
        face, warnings = choose_face(picture, find_faces(picture, self._settings.models))
        return Portrait(portrait_key(picture, self.name, self._settings.size), picture, face, warnings)

    def read_motion(self, frames):
        return [Motion(frame.face) if frame.face else None for frame in frames]

    def animate(self, cues, layout: Layout = "rgb") -> list[Picture]:
        return [finish(self._draw(cue), cue.options.mirror, cue.options.badge, layout) for cue in cues]

    def _draw(self, cue: Cue) -> Picture:
        picture = cue.portrait.picture[::2, ::2].copy()
        picture[..., 0] = min(255, 100 * cue.motion.face.lip_gap) if cue.motion else 0
        return np.ascontiguousarray(picture)


def load(settings: AnimatorSettings) -> Loaded:
    return Loaded(Toy(settings), "made of 30 lines")
