"""The embedded default animator: a textured mesh of the portrait, moved by the driver's landmarks, on one CPU core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.animator import Capability, Cue, DrivingFrame, Layout, Motion, Picture, Progress
from pipeline.core.options import KEY_COLOUR, AnimateOptions
from pipeline.core.registry import AnimatorSettings, Loaded
from pipeline.face import groups
from pipeline.face.face import Face
from pipeline.face.find import find_faces
from pipeline.imaging.finish import finish
from pipeline.imaging.source_picture import choose_face, portrait_key
from pipeline.meshwarp import light, mesh, mouth
from pipeline.meshwarp.background import fill_behind, own_colours, plain
from pipeline.meshwarp.canvas import Crop, crop_around, sample, texture
from pipeline.meshwarp.matte import Segmenter, refine
from pipeline.meshwarp.motion_transfer import Rest, Target, aim
from pipeline.meshwarp.render import Backdrop, MeshPortrait, render, still_map, vertex_values
from pipeline.models.face_models import FaceModels

SURE = 0.25  # above this uncertainty of the matte the whole picture moves as one layer
MERGED = "Person and background cannot be separated here: both move together, and the background is kept."
CUT_HEADROOM = 0.7  # cm; moving further down would show that the hair ends at the picture's edge


class MeshWarp:
    """Animates with MediaPipe landmarks, Procrustes poses and a z-buffered mesh over an in-painted background.

    `animate` keeps nothing between calls; `prepare` may run in another thread at the same time.
    """

    name = "meshwarp"
    supports = frozenset(
        {
            *("head", "yaw", "pitch", "roll", "position"),
            *("expression", "mouth", "eyes", "brows", "gaze", "smoothing"),
            *("mirror", "badge", "background", "background_colour", "driver_mouth"),
        }
    )

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, models: FaceModels, size: int = 512) -> None:
        self._models = models
        self._segmenter = Segmenter(models.matte)
        self.size = size

    def warm_up(self, progress: Progress) -> None: ...

    def prepare(self, picture: Picture) -> MeshPortrait:
        """Compute the crop, matte, background and mesh in about 0.5 s. Raise PortraitError if there is no face."""
        face, warnings = choose_face(picture, find_faces(picture, self._models))
        crop = crop_around(picture, face, self.size)
        on_canvas = Face(crop.to_canvas(face.landmarks), face.score)
        rest = Rest(on_canvas.shape, on_canvas.pose)
        source = texture(picture, crop)
        layer, behind, whole = self._layers(source, crop, rest)
        rest = rest if whole else replace(rest, headroom=_headroom(rest, layer[..., 3], crop))
        form = mesh.build(rest, mesh.inset(rest, layer[..., 3], crop), crop, whole)
        values = vertex_values(form, rest, crop)
        return MeshPortrait(
            key=portrait_key(picture, self.name, self.size),
            picture=picture,
            face=face,
            warnings=(*warnings, MERGED) if whole else warnings,
            crop=crop,
            rest=rest,
            mesh=form,
            values=values,
            texture=layer,
            whole=whole,
            background=behind,
            still_map=still_map(crop),
            mouth=mouth.prepare(source, crop, rest),
            light=light.estimate(source, np.ascontiguousarray(values[: mesh.FACE, :2]), rest),
        )

    def _layers(self, source: Picture, crop: Crop, rest: Rest) -> tuple[NDArray[np.uint8], NDArray[np.uint8], bool]:
        """Return the person (t, t, 4), the background (size, size, 4), and whether they could not be separated."""
        face = crop.to_texture(rest.landmarks[:468, :2])
        alpha, uncertainty = refine(source, self._segmenter.person(source), face)
        whole = uncertainty > SURE
        alpha = np.ones_like(alpha) if whole else alpha
        behind = source if whole else fill_behind(source, alpha, crop.texels * self.size / 512)
        own = own_colours(source, behind, alpha)
        layer = np.dstack([own * alpha[..., None], alpha * 255])
        start, end = crop.to_texture(np.array([[0, 0], [self.size, self.size]], np.float32))[:, 0] + 0.5
        steps = start - 0.5 + (np.arange(self.size, dtype=np.float32) + 0.5) * (end - start) / self.size
        places = np.stack(np.meshgrid(steps, steps), -1)
        shown = sample(behind, places)
        return np.round(layer).astype(np.uint8), cv2.cvtColor(shown, cv2.COLOR_RGB2RGBA), whole

    def read_motion(self, frames: Sequence[DrivingFrame]) -> list[Motion | None]:
        return [Motion(frame.face) if frame.face else None for frame in frames]

    def target(self, cue: Cue) -> Target:
        """Return where the portrait's face moves for this cue."""
        return aim(cast(MeshPortrait, cue.portrait).rest, cue)

    def animate(self, cues: Sequence[Cue], layout: Layout = "rgb") -> list[Picture]:
        return [finish(self._animate(cue), cue.options.mirror, cue.options.badge, layout) for cue in cues]

    def _animate(self, cue: Cue) -> Picture:
        driver = None
        if cue.options.driver_mouth and cue.motion is not None and cue.driver is not None:
            driver = DrivingFrame(cue.driver, cue.motion.face)
        portrait = cast(MeshPortrait, cue.portrait)
        return render(portrait, self.target(cue), driver, _behind(portrait, cue.options))


def load(settings: AnimatorSettings) -> Loaded:
    """Load mesh-warp, which runs everywhere."""
    return Loaded(MeshWarp(settings.models, settings.size))


def _behind(portrait: MeshPortrait, options: AnimateOptions) -> Backdrop:
    match options.background:
        case "blur":
            return portrait.blurred
        case "colour":
            return plain(options.background_colour, portrait.crop.size)
        case "transparent":
            return plain(KEY_COLOUR, portrait.crop.size)
    return portrait.background


def _headroom(rest: Rest, alpha: NDArray[np.uint8], crop: Crop) -> float:
    """Return how many cm the head may move down: little if the picture's top edge cuts the hair off."""
    left, right = crop.to_texture(rest.landmarks[[groups.RIGHT_SIDE, groups.LEFT_SIDE], :2])[:, 0]
    top = crop.to_texture(np.array([[0, -crop.top * crop.scale]], np.float32))[0, 1] + 1
    above = alpha[max(0, round(float(top))), int(min(left, right)) : int(max(left, right)) + 1]
    return CUT_HEADROOM if above.size and above.mean() > 128 else rest.headroom
