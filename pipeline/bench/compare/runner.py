"""Make one setup ready, then run it step by step."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import NoReturn, cast

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.bench.compare.footage import Cursor, Write
from pipeline.bench.compare.inputs import Inputs
from pipeline.bench.compare.plain_backend import CapturingBackend
from pipeline.bench.compare.setup import DTYPES, Setup
from pipeline.bench.device_timer import synchronize
from pipeline.bench.known_driver import NO_MODELS, DrivenPortrait
from pipeline.bench.memory import held, peak, restart_peak, trim
from pipeline.core.animator import DrivingFrame, Picture, Portrait, Reference
from pipeline.liveportrait.animator import LivePortrait
from pipeline.liveportrait.corrections import Correctors
from pipeline.liveportrait.crop import DRIVING, SOURCE, Box, cut, face_box, halved
from pipeline.liveportrait.cuda.pixels import overlapping_pixels
from pipeline.liveportrait.driven_keypoints import SourcePortrait
from pipeline.liveportrait.keypoint_motion import decode
from pipeline.liveportrait.landmarks import mesh_outline
from pipeline.liveportrait.networks.motion_extractor import RawMotion
from pipeline.liveportrait.pixels import CropRequest, HostPixels

STILL = 1.0  # of 255: mean difference of the driver's crop below which the last picture is shown again
HOST = torch.device("cpu")


@dataclass(frozen=True)
class PeakMemory:
    """The most MB used above what the process held before the setup was made; None if unknown, or without a GPU."""

    host: float | None = None
    device: float | None = None


@dataclass(frozen=True, eq=False)
class Shot:
    """The parts of a frame that are compared."""

    keypoints: NDArray[np.float32]  # (21, 3): where they went
    crop: Picture  # (512, 512, 3): what was drawn


class Runner:
    """Draws frames on request. Its owner closes it."""

    def __init__(self, setup: Setup, inputs: Inputs) -> None:
        """Load, build and draw a first frame; `ready` is how many seconds that took."""
        self.setup, self._inputs = setup, inputs
        self.size = setup.frames(inputs.device)  # of a step
        self.memory = PeakMemory()
        self._places = [HOST] if inputs.device == HOST else [HOST, inputs.device]
        before = [restart_peak(place) for place in self._places]
        self._stack = ExitStack()
        start = time.perf_counter()
        try:
            self._build()
            self.step(0, 1)
        except BaseException:
            self.close()
            raise
        self.ready = time.perf_counter() - start
        self._stays = _differences(before, [restart_peak(place) for place in self._places])

    def step(self, number: int, size: int | None = None) -> float:
        """Draw `size` frames of the footage from this one on, and return the seconds for each."""
        size = size or self.size
        with self.setup.applied():
            if self.setup.keeps_memory:  # an untimed frame fills the memory that is kept
                self._cursor.seek(number)
                self._draw([self._cursor.read()])
            self._cursor.seek(number)
            self._recorder.restart()
            synchronize(self._inputs.device)
            start = time.perf_counter()
            self._perform(self._frames(size))
            synchronize(self._inputs.device)
            return (time.perf_counter() - start) / size + self._loading

    def weighed_step(self, number: int) -> float:
        """Run a step and set `memory`. Free memory is given back before, so this may take a little longer."""
        before = [restart_peak(place) for place in self._places]
        seconds = self.step(number)
        moves = _differences(before, [peak(place) for place in self._places])
        self.memory = PeakMemory(
            *(None if a is None or b is None else a + b for a, b in zip(self._stays, moves, strict=True))
        )
        return seconds

    def shot(self) -> Shot:
        """Return the first frame that the last step drew."""
        keypoints, crop = self._recorder.shown()
        pixels = (crop.float().clamp(0, 1) * 255).round().to(torch.uint8)
        return Shot(keypoints.cpu().numpy(), pixels.permute(1, 2, 0).cpu().numpy())

    def held(self) -> float | None:
        """Return the bytes that the process holds, on the GPU if there is one."""
        return held(self._places[-1])

    def close(self) -> None:
        """Free everything."""
        self._stack.close()
        for name in ("_animator", "_recorder", "_puppet", "_cursor", "_write"):
            self.__dict__.pop(name, None)
        gc.collect()
        if self._inputs.device.type == "cuda":
            torch.cuda.empty_cache()
        trim()

    def _build(self) -> None:
        setup, inputs = self.setup, self._inputs
        start = time.perf_counter()
        self._cursor = Cursor(inputs.footage, setup.streams)
        seconds = time.perf_counter() - start
        self._loading = 0.0 if setup.streams else seconds / inputs.footage.count  # a frame's share
        with setup.applied():
            self._animator = self._new_animator()
            self._animator.backend.warm_up(lambda done, total: None)
            self._puppet = self._new_puppet()
        self._write: Write = self._stack.enter_context(inputs.footage.recording())
        self._seen: tuple[Picture, Picture] | None = None  # the driver's crop, and the picture drawn from it

    def _new_animator(self) -> LivePortrait:
        setup, inputs = self.setup, self._inputs
        networks = inputs.networks(setup)
        correctors = Correctors(networks.stitching, networks.lip, networks.eye)
        self._recorder = CapturingBackend(inputs.backend(setup, networks, DTYPES[setup.precision]))
        pixels = (overlapping_pixels if setup.pinned else HostPixels)(inputs.device)
        return LivePortrait(NO_MODELS, correctors, self._recorder, pixels, fallback=self._no_fallback)

    def _no_fallback(self) -> NoReturn:
        raise ArithmeticError(f"{self.setup.precision} gives pictures of NaN on this device")

    def _new_puppet(self) -> DrivenPortrait:
        """Return the portrait whose reference (neutral) is the driver's first frame."""
        portrait = self._animator.portrait(self._inputs.portrait, self._inputs.face)
        [neutral] = self._animator.read_motion([self._cursor.read()])
        if neutral is None:
            raise LookupError("the first frame of the driving video shows no face; choose another video")
        face = neutral.face
        return DrivenPortrait(portrait, Reference(neutral, face.shape, face.pose, face.eye_ratio))

    def _frames(self, count: int) -> Iterator[DrivingFrame]:
        if self.setup.reuses_motion:  # a driver who does not move, so each frame comes twice
            frame = self._cursor.read()
            yield from [frame] * count
        else:
            yield from (self._cursor.read() for _ in range(count))

    def _perform(self, frames: Iterator[DrivingFrame]) -> None:
        if self.setup.overlaps:
            overlapped(frames, lambda frame: self._draw([frame])[0], self._write)
            return
        while together := list(islice(frames, self.setup.batch)):
            for picture in self._draw(together):
                self._write(picture)

    def _draw(self, frames: Sequence[DrivingFrame]) -> list[Picture]:
        crop = self._crop(frames[0]) if self.setup.reuses_motion else None
        if crop is not None and self._seen and np.abs(crop - self._seen[0].astype(np.float32)).mean() < STILL:
            return [self._seen[1]]
        animator, puppet = self._animator, self._puppet
        puppets = [replace(puppet, portrait=self._portrait()) for _ in frames]
        motions = animator.read_motion(frames)
        pictures = animator.animate([each.cue(motion) for each, motion in zip(puppets, motions, strict=True)])
        if crop is not None:
            self._seen = crop, pictures[0]
        if self.setup.empties_cache:
            self._empty_cache()
        return pictures

    def _portrait(self) -> Portrait:
        """Return the portrait, read again by the networks unless the setup caches it."""
        portrait = cast(SourcePortrait, self._puppet.portrait)
        if self.setup.caches_source:
            return portrait
        pixels, backend = self._animator.pixels, self._animator.backend
        view = pixels.upload_crops(
            [CropRequest(portrait.picture, None, face_box(mesh_outline(portrait.face), SOURCE).matrix())]
        )
        with torch.inference_mode():
            motion = decode(RawMotion.unpacked(pixels.download(backend.motion(view).packed())()))
            feature = backend.appearance(view)
            return replace(portrait, feature=feature, motion=motion, keypoints=motion.transformed())

    def _crop(self, frame: DrivingFrame) -> Picture:
        height, width = frame.picture.shape[:2]
        whole = Box(np.array([width, height]) / 2, min(height, width))
        box = face_box(mesh_outline(frame.face), DRIVING) if frame.face else whole
        return halved(cut(frame.picture, box.matrix()))

    def _empty_cache(self) -> None:
        if self._inputs.device.type == "cuda":
            torch.cuda.empty_cache()
        else:
            gc.collect()
            trim()


def overlapped(frames: Iterator[DrivingFrame], draw: Callable[[DrivingFrame], Picture], write: Write) -> None:
    """Draw frames while one thread reads the next one and another thread writes the one before."""
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        ahead, written = reader.submit(next, frames, None), []
        while frame := ahead.result():
            ahead = reader.submit(next, frames, None)
            written.append(writer.submit(write, draw(frame)))
        for each in written:
            each.result()


def _differences(before: Sequence[float | None], after: Sequence[float | None]) -> list[float | None]:
    """Return the growth in MB, from bytes."""
    pairs = zip(before, after, strict=True)
    return [None if low is None or high is None else (high - low) / 1e6 for low, high in pairs]
