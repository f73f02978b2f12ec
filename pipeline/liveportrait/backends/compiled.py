"""Run the networks in exact forms with less work; on CUDA compiled, and each batch size captured as one graph.

A graph works on tensors that never move, so its inputs are copied in: 63 numbers for each picture, and a portrait only
if it is another one than in the call before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from pipeline.core.animator import Progress
from pipeline.liveportrait.backend import PreparedSource
from pipeline.liveportrait.backends.ops.exact_generator import ExactGenerator
from pipeline.liveportrait.backends.ops.exact_warping import ExactWarping, WarpSource
from pipeline.liveportrait.backends.ops.graph import Graphs, Step, compiled
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.crop import CROP_SIZE
from pipeline.liveportrait.networks.motion_extractor import RawMotion
from pipeline.liveportrait.networks.warping import WarpingNetwork

GRAPHED = (8, 4, 2, 1)  # batch sizes; others are split, because padding costs as much as pictures
DIRECT = (1,)  # on a CPU, where batches save no time


@dataclass(frozen=True, eq=False)
class CompiledSource(PreparedSource):
    """A portrait with what the warping network needs of it, in its precision and memory layout."""

    kept: WarpSource


class Compiled:
    """Draws in `dtype`. Motion is read in float16 if that draws, else in float32: bfloat16 is too coarse for it."""

    name = "compiled"

    def __init__(self, networks: Networks, device: torch.device, dtype: torch.dtype) -> None:
        """Take over the networks, which are moved to `device`."""
        self.device, self.dtype = device, dtype
        self._motion_dtype = torch.float16 if dtype == torch.float16 else torch.float32
        self._appearance = networks.appearance.to(device)
        self._motion = networks.motion.to(device, self._motion_dtype)
        warping, generator = self._forms(networks)
        self._warping, self._generator = warping.to(device, dtype), generator.to(device, dtype)
        self._sizes = GRAPHED if device.type == "cuda" else DIRECT
        self._graphs = Graphs(device)
        self._read, self._drawn = compiled(self._packed, device), compiled(self._pictures, device)
        self._readers: dict[int, Step] = {}
        self._drawers: dict[int, _Drawer] = {}

    def _forms(self, networks: Networks) -> tuple[ExactWarping, ExactGenerator]:
        """Return what draws, in float32."""
        return _exact_warping(networks.warping, self.device), ExactGenerator(networks.generator)

    def warm_up(self, progress: Progress) -> None:
        """Compile and capture every batch size; later starts find compiled code in the cache folder."""
        for done, size in enumerate(reversed(self._sizes)):
            self.motion(torch.zeros(size, 3, CROP_SIZE // 2, CROP_SIZE // 2, device=self.device))
            self.draw([self._blank()] * size, torch.zeros(size, 21, 3, device=self.device))
            progress(done + 1, len(self._sizes))

    @torch.inference_mode()
    def appearance(self, picture: Tensor) -> Tensor:
        feature: Tensor = self._appearance(picture)
        return feature

    @torch.inference_mode()
    def motion(self, pictures: Tensor) -> RawMotion:
        parts = []
        for part in self._split(len(pictures)):
            step = self._reader(pictures[part])
            step.inputs[0].copy_(pictures[part])
            parts.append(step.run().clone())
        return RawMotion.unpacked(torch.cat(parts))

    @torch.inference_mode()
    def prepare_source(self, feature: Tensor, keypoints: Tensor) -> PreparedSource:
        return CompiledSource(feature, keypoints, self._warping.prepare(feature, keypoints))

    @torch.inference_mode()
    def draw(self, sources: Sequence[PreparedSource], driven: Tensor) -> Tensor:
        shown = cast(Sequence[CompiledSource], sources)
        parts = list(self._split(len(shown)))
        if len(parts) == 1:
            return self._drawer(len(shown))(shown, driven)
        return torch.cat([self._drawer(p.stop - p.start)(shown[p], driven[p]).clone() for p in parts])

    def _packed(self, pictures: Tensor) -> Tensor:
        return cast(RawMotion, self._motion(pictures.to(self._motion_dtype))).packed().float()

    def _pictures(self, driven: Tensor, *kept: Tensor) -> Tensor:
        picture: Tensor = self._generator(self._warping(WarpSource(*kept), driven))
        return picture

    def _split(self, count: int) -> Iterator[slice]:
        """Yield parts of a batch, in sizes that are captured."""
        start = 0
        while start < count:
            size = next(size for size in self._sizes if size <= count - start)
            yield slice(start, start + size)
            start += size

    def _reader(self, pictures: Tensor) -> Step:
        size = len(pictures)
        if size not in self._readers:
            self._readers[size] = self._graphs.step(self._read, [pictures.clone()])
        return self._readers[size]

    def _drawer(self, size: int) -> _Drawer:
        if size not in self._drawers:
            kept = [torch.cat([value] * size) for value in self._blank().kept]
            inputs = [torch.zeros(size, 21, 3, device=self.device), *kept]
            self._drawers[size] = _Drawer(self._graphs.step(self._drawn, inputs))
        return self._drawers[size]

    def _blank(self) -> CompiledSource:
        feature = torch.zeros(1, 32, 16, 64, 64, device=self.device)
        return cast(CompiledSource, self.prepare_source(feature, torch.zeros(1, 21, 3, device=self.device)))


def _exact_warping(network: WarpingNetwork, device: torch.device) -> ExactWarping:
    """Return the warping network with Triton kernels on a GPU, and its largest convolution by spectra on a CPU."""
    if device.type == "cuda":
        from pipeline.liveportrait.backends.ops import kernels

        return ExactWarping(network, candidates=kernels.candidates, warp=kernels.warp)
    from pipeline.liveportrait.backends.ops.fourier import FourierConv3d

    return ExactWarping(network, FourierConv3d)


class _Drawer:
    """The step for one batch size, and the portraits that are in it now."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._shown: list[CompiledSource | None] = [None] * len(step.inputs[0])

    def __call__(self, sources: Sequence[CompiledSource], driven: Tensor) -> Tensor:
        keypoints, *kept = self._step.inputs
        keypoints.copy_(driven)
        for index, source in enumerate(sources):
            if self._shown[index] is not source:
                for inside, value in zip(kept, source.kept, strict=True):
                    inside[index : index + 1].copy_(value)
                self._shown[index] = source
        return self._step.run()
