"""LivePortrait as an animator (Guo et al., arXiv:2407.03168)."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from pipeline.core.animator import Capability, Cue, DrivingFrame, Layout, Motion, Picture, Planes, Progress
from pipeline.core.batched import HOST, CallerThread, DeviceMemory, Executor
from pipeline.core.options import AnimateOptions
from pipeline.face.face import Face
from pipeline.face.find import find_faces
from pipeline.imaging.source_picture import choose_face, portrait_key
from pipeline.liveportrait.backend import Backend, PreparedSource
from pipeline.liveportrait.corrections import Correctors
from pipeline.liveportrait.crop import CROP_SIZE, DRIVING, SOURCE, Box, face_box, fitted, follow
from pipeline.liveportrait.driven_keypoints import Drawing, DriverMotion, SourcePortrait, driven_keypoints, ratios_of
from pipeline.liveportrait.keypoint_motion import KeypointMotion, decode
from pipeline.liveportrait.landmarks import mesh_outline
from pipeline.liveportrait.networks.motion_extractor import RawMotion
from pipeline.liveportrait.paste import Paster
from pipeline.liveportrait.pixels import CropRequest, Finish, NotANumber, Pixels
from pipeline.models.face_models import FaceModels

logger = logging.getLogger(__name__)


class LivePortrait:
    """Keeps nothing between calls but the networks and what they made of portraits that are still in use.

    What touches the device runs in the executor's thread; `drive` and finding faces may run in several threads at once.
    """

    name = "liveportrait"
    supports = frozenset(AnimateOptions.__dataclass_fields__) - {
        *("driver_mouth", "smoothing", "size"),
        *("yaw", "pitch", "roll", "background", "background_colour"),
    }

    capabilities: frozenset[Capability] = frozenset(
        {"batched", "gpu", "motion_files", "video_source", "picture_driver"}
    )

    def __init__(
        self,
        models: FaceModels,
        correctors: Correctors,
        backend: Backend,
        pixels: Pixels,
        *,
        executor: Executor | None = None,
        size: int = CROP_SIZE,
        fallback: Callable[[], Backend] | None = None,
    ) -> None:
        """Take a backend and pixels of one device, both made in the executor's thread (None: the caller's).

        `size` is the side of the crop alone, in pixels. `fallback` makes the float32 backend that takes over if
        `backend` draws NaN.
        """
        self._models, self.correctors, self.backend, self.pixels = models, correctors, backend, pixels
        self._executor, self.size, self._fallback = executor or CallerThread(), size, fallback
        self._sources: weakref.WeakKeyDictionary[SourcePortrait, PreparedSource] = weakref.WeakKeyDictionary()

    @property
    def memory(self) -> DeviceMemory:
        device = self.backend.device
        if device.type != "cuda":
            return HOST
        return DeviceMemory(lambda: torch.cuda.mem_get_info(device)[0], torch.OutOfMemoryError)

    def warm_up(self, progress: Progress) -> float:
        """Do what the first frame would wait for (compile, capture, load); return the seconds of a later frame."""
        self._executor.run(lambda: self.backend.warm_up(progress))
        return min(self._executor.run(self._blank_frame) for _ in range(2))

    def prepare(self, picture: Picture) -> SourcePortrait:
        """Find crop, appearance and motion of a source, reduced to 1280 pixels. Raise PortraitError without a face."""
        picture = fitted(picture)
        return self.portrait(picture, *choose_face(picture, find_faces(picture, self._models) if picture.size else []))

    @torch.inference_mode()
    def portrait(self, picture: Picture, face: Face, warnings: tuple[str, ...] = ()) -> SourcePortrait:
        """Prepare a picture, already of the right size, whose face is known."""
        box = face_box(mesh_outline(face), SOURCE)
        feature, motion = self._executor.run(lambda: self._look(CropRequest(picture, None, box.matrix())))
        return SourcePortrait(
            key=portrait_key(picture, self.name, self.size),
            picture=picture,
            face=face,
            warnings=warnings,
            feature=feature,
            motion=motion,
            keypoints=motion.transformed(),
            ratios=ratios_of(face),
            paster=Paster(picture, np.linalg.inv(box.matrix()).astype(np.float64), self.backend.device),
        )

    def read_motion(self, frames: Sequence[DrivingFrame]) -> list[Motion | None]:
        """Read the motion in each frame's steady crop, all in one batch."""
        return self.start_motion(frames)()

    def animate(self, cues: Sequence[Cue], layout: Layout = "rgb") -> list[Picture]:
        """Draw one picture per cue, the whole portrait or the crop alone, all in one batch."""
        return self.start_pictures([self.drive(cue) for cue in cues], layout)()

    @torch.inference_mode()
    def start_motion(self, frames: Sequence[DrivingFrame]) -> Callable[[], list[Motion | None]]:
        """Begin `read_motion`; return a function that waits for the device and returns the result."""
        boxes = [_steady_box(frame, frame.face) if frame.face else None for frame in frames]
        seen = zip(frames, boxes, strict=True)
        views = [CropRequest(frame.picture, frame.planes, box.matrix()) for frame, box in seen if box]
        if not views:
            return lambda: [None] * len(frames)
        numbers = self.pixels.download(self.backend.motion(self.pixels.upload_crops(views)).packed())
        return lambda: _motions(frames, boxes, decode(RawMotion.unpacked(numbers())))

    @torch.inference_mode()
    def drive(self, cue: Cue) -> Drawing:
        """Return where the cue puts the keypoints of its portrait; computed on the host alone."""
        portrait = cast(SourcePortrait, cue.portrait)
        return Drawing(portrait, driven_keypoints(self.correctors, cue, portrait), cue.options)

    @torch.inference_mode()
    def start_pictures(self, drawings: Sequence[Drawing], layout: Layout) -> Callable[[], list[Picture | Planes]]:
        """Begin to draw, as `start_motion` does; what 16 bits drew as NaN is drawn again in float32."""
        if not drawings:
            return lambda: []
        backend = self.backend
        pictures = self.pixels.compose(self._crops(drawings), [self._finish(drawing) for drawing in drawings], layout)

        def finished() -> list[Picture | Planes]:
            try:
                return pictures()
            except NotANumber:
                if backend.dtype == torch.float32 or not self._fallback:
                    raise
                self._fall_back(backend, self._fallback)
                return self.start_pictures(drawings, layout)()

        return finished

    @torch.inference_mode()
    def _look(self, view: CropRequest) -> tuple[Tensor, KeypointMotion]:
        crop = self.pixels.upload_crops([view])
        raw = self.pixels.download(self.backend.motion(crop).packed())
        return self.backend.appearance(crop), decode(RawMotion.unpacked(raw()))

    def _crops(self, drawings: Sequence[Drawing]) -> Tensor:
        points = torch.cat([drawing.keypoints for drawing in drawings])
        sources = [self._source(drawing.portrait) for drawing in drawings]
        return self.backend.draw(sources, points.to(self.backend.device, non_blocking=True))

    def _source(self, portrait: SourcePortrait) -> PreparedSource:
        """Return the prepared source, made once per portrait and backend."""
        source = self._sources.get(portrait)
        if source is None:
            keypoints = portrait.keypoints.to(self.backend.device, non_blocking=True)
            source = self._sources[portrait] = self.backend.prepare_source(portrait.feature, keypoints)
        return source

    def _finish(self, drawing: Drawing) -> Finish:
        options = drawing.options
        paster = drawing.portrait.paster if options.paste_back else None
        return Finish(paster, self.size, options.mirror, options.badge)

    def _fall_back(self, failed: Backend, build: Callable[[], Backend]) -> None:
        if self.backend is failed:
            logger.warning(
                "%s gives pictures without numbers (NaN) on this device; float32 is used from here on. "
                "Use --precision fp32 to start with it.",
                str(failed.dtype).removeprefix("torch."),
            )
            self.backend = build()
            self._sources.clear()

    @torch.inference_mode()
    def _blank_frame(self) -> float:
        start = time.perf_counter()
        size = CROP_SIZE // 2
        points = decode(self.backend.motion(torch.zeros(1, 3, size, size, device=self.backend.device))).transformed()
        blank = self.backend.prepare_source(torch.zeros(1, 32, 16, 64, 64, device=self.backend.device), points)
        self.pixels.compose(self.backend.draw([blank], points), [Finish(None, CROP_SIZE, False, False)], "rgb")()
        return time.perf_counter() - start


def _motions(frames: Sequence[DrivingFrame], boxes: Sequence[Box | None], read: KeypointMotion) -> list[Motion | None]:
    each = (read.frame(index) for index in range(len(read.scale)))
    return [
        DriverMotion(frame.face, next(each), ratios_of(frame.face), box, frame.time) if frame.face and box else None
        for frame, box in zip(frames, boxes, strict=True)
    ]


def _steady_box(frame: DrivingFrame, face: Face) -> Box:
    wanted = face_box(mesh_outline(face), DRIVING)
    if not isinstance(frame.previous, DriverMotion):
        return wanted
    return follow(frame.previous.box, wanted, max(0.0, frame.time - frame.previous.time))
