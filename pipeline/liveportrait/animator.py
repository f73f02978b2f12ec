"""LivePortrait as an animator (Guo et al., arXiv:2407.03168): portraits prepared once, motion read, pictures drawn."""

from __future__ import annotations

import functools
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline import badge
from pipeline.animator import AnimateOptions, Cue, DrivingFrame, Motion, Picture
from pipeline.face.face import Face
from pipeline.face.find import find_faces
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.crop import CROP_SIZE, DRIVING, SOURCE, Box, cut, face_box, fitted, follow, halved
from pipeline.liveportrait.driving import DriverMotion, SourcePortrait, driven_keypoints, ratios_of
from pipeline.liveportrait.landmarks import mesh_outline
from pipeline.liveportrait.motion import decode
from pipeline.liveportrait.paste import Paster, to_input, to_pixels
from pipeline.portrait import choose_face
from pipeline.weights import FaceModels

logger = logging.getLogger(__name__)


class NotANumber(ArithmeticError):
    """The networks drew no picture; the text says why and what to do."""


class LivePortrait:
    """Keeps nothing between calls but the networks. May be called from several threads."""

    name = "liveportrait"
    supports = frozenset(AnimateOptions.__dataclass_fields__) - {"driver_mouth", "smoothing"}

    def __init__(
        self,
        models: FaceModels,
        load: Callable[[], Networks],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        size: int = CROP_SIZE,
    ) -> None:
        """`load` gives the networks in float32; those that draw become `dtype`. `size` is that of the crop alone."""
        self._models, self._load, self.size = models, load, size
        self.device, self._dtype = torch.device(device), dtype
        self._networks = load().to(self.device, dtype)
        self._switching = threading.Lock()

    @property
    def networks(self) -> Networks:
        """Those in use now."""
        return self._networks

    def warm_up(self) -> None:
        """One frame of nothing."""
        _ = self.seconds_per_frame

    @functools.cached_property
    def seconds_per_frame(self) -> float:
        """How long motion, warping and generator take for one frame here; measured when first asked for."""
        runs = 1 if self.device.type == "cpu" else 3  # elsewhere the first ones choose and compile kernels
        return min(self._blank_frame() for _ in range(runs))

    def prepare(self, picture: Picture) -> SourcePortrait:
        """Crop, appearance and motion of a source, at most 1280 pixels long. PortraitError where there is no face."""
        picture = fitted(picture)
        return self.portrait(picture, *choose_face(picture, find_faces(picture, self._models) if picture.size else []))

    @torch.inference_mode()
    def portrait(self, picture: Picture, face: Face, warnings: tuple[str, ...] = ()) -> SourcePortrait:
        """As `prepare`, where the face of a picture of this size is known already."""
        box = face_box(mesh_outline(face), SOURCE)
        crop = self._crop(picture, box)
        motion = decode(self._networks.motion(crop))
        return SourcePortrait(
            key=hashlib.sha256(picture.tobytes() + f"liveportrait {self.size} {picture.shape}".encode()).hexdigest(),
            picture=picture,
            face=face,
            warnings=warnings,
            feature=self._networks.appearance(crop),
            motion=motion,
            keypoints=motion.transformed(),
            ratios=ratios_of(face, self.device),
            paster=Paster(picture, np.linalg.inv(box.matrix()).astype(np.float64), self.device),
        )

    @torch.inference_mode()
    def read_motion(self, frames: Sequence[DrivingFrame]) -> list[Motion | None]:
        """The motion in each frame's steady crop; all frames in one batch."""
        boxes = [_steady_box(frame, frame.face) if frame.face else None for frame in frames]
        crops = [self._crop(frame.picture, box) for frame, box in zip(frames, boxes, strict=True) if box]
        if not crops:
            return [None] * len(frames)
        read = decode(self._networks.motion(torch.cat(crops)))
        each = (read.frame(index) for index in range(len(crops)))
        return [
            DriverMotion(frame.face, next(each), ratios_of(frame.face, self.device), box, frame.time)
            if frame.face and box
            else None
            for frame, box in zip(frames, boxes, strict=True)
        ]

    @torch.inference_mode()
    def animate(self, cues: Sequence[Cue]) -> list[Picture]:
        """One picture per cue: the whole portrait, or (size, size, 3); all cues in one batch."""
        if not cues:
            return []
        portraits = [cast(SourcePortrait, cue.portrait) for cue in cues]
        points = [driven_keypoints(self._networks, cue, p) for cue, p in zip(cues, portraits, strict=True)]
        return self.draw(portraits, points, [cue.options for cue in cues])

    @torch.inference_mode()
    def draw(
        self, portraits: Sequence[SourcePortrait], points: Sequence[Tensor], options: Sequence[AnimateOptions]
    ) -> list[Picture]:
        """As `animate`, with each portrait's driven keypoints (1, 21, 3) given."""
        crops = self._generate(
            torch.cat([portrait.feature for portrait in portraits]),
            torch.cat(list(points)),
            torch.cat([portrait.keypoints for portrait in portraits]),
        )
        return [self._finished(*each) for each in zip(crops[:, None], portraits, options, strict=True)]

    def _crop(self, picture: Picture, box: Box) -> Tensor:
        return to_input(halved(cut(picture, box.matrix())), self.device)

    def _generate(self, features: Tensor, driven: Tensor, source: Tensor) -> Tensor:
        """(B, 3, 512, 512) about 0..1; again in float32 where 16 bits gave no numbers, and so from then on."""
        networks = self._networks
        crops = _drawn(networks, features, driven, source)
        if not crops.isfinite().all() and networks.dtype != torch.float32:
            crops = _drawn(self._in_float32(networks), features, driven, source)
        if not crops.isfinite().all():
            raise NotANumber("LivePortrait's networks gave no picture; check the files with `run.py weights verify`.")
        return crops

    def _in_float32(self, failed: Networks) -> Networks:
        with self._switching:
            if self._networks is failed:
                logger.warning(
                    "%s gives pictures without numbers (NaN) on this device; float32 is used from here on. "
                    "--precision fp32 chooses it from the start.",
                    str(failed.dtype).removeprefix("torch."),
                )
                self._networks = self._load().to(self.device)
            return self._networks

    def _finished(self, crop: Tensor, portrait: SourcePortrait, options: AnimateOptions) -> Picture:
        paste = portrait.paster if options.paste_back else to_pixels
        picture = np.asarray(paste(crop)[0].cpu().numpy())
        if not options.paste_back and self.size != CROP_SIZE:
            shrinks = self.size < CROP_SIZE
            method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            picture = np.asarray(cv2.resize(picture, (self.size, self.size), interpolation=method), np.uint8)
        if options.mirror:
            picture = np.ascontiguousarray(picture[:, ::-1])
        if options.badge:
            badge.draw(picture)
        return picture

    @torch.inference_mode()
    def _blank_frame(self) -> float:
        start = time.perf_counter()
        blank = torch.zeros(1, 3, CROP_SIZE // 2, CROP_SIZE // 2, device=self.device)
        points = decode(self._networks.motion(blank)).transformed()
        self._generate(torch.zeros(1, 32, 16, 64, 64, device=self.device), points, points)  # which waits for the device
        return time.perf_counter() - start


def _drawn(networks: Networks, features: Tensor, driven: Tensor, source: Tensor) -> Tensor:
    warped = networks.warping(features.to(networks.dtype), driven, source)
    crops: Tensor = networks.generator(warped.feature)
    return crops


def _steady_box(frame: DrivingFrame, face: Face) -> Box:
    wanted = face_box(mesh_outline(face), DRIVING)
    if not isinstance(frame.previous, DriverMotion):
        return wanted
    return follow(frame.previous.box, wanted, max(0.0, frame.time - frame.previous.time))
