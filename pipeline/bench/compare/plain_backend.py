"""The plain networks with single changes, on which single optimizations are measured."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.bench.compare.setup import DTYPES, Setup
from pipeline.core.animator import Progress
from pipeline.liveportrait.backend import Backend, PreparedSource
from pipeline.liveportrait.backends.ops.graph import Graphs, Step
from pipeline.liveportrait.backends.ops.weight_only import weights_only
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.networks.motion_extractor import MotionExtractor, RawMotion

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}  # by number of dimensions


class Plain:
    """A backend for one setup."""

    name = "plain"

    def __init__(self, networks: Networks, device: torch.device, setup: Setup) -> None:
        """Take over the networks: move them, and change those that draw as the setup says."""
        self.device, self.dtype = device, DTYPES[setup.precision]
        self._setup, self._networks = setup, networks.to(device, self.dtype)
        if setup.dynamic:
            self._networks = replace(self._networks, motion=_dynamic(self._networks.motion))
        self._pool = Graphs(device)
        self._graphs: dict[int, Step] = {}
        for network in (networks.warping, networks.generator):
            if setup.stored:
                weights_only(network, setup.stored)
            if setup.channels_last:
                _channels_last(network)
            if setup.compiled:
                network.compile(mode=setup.compiled)

    def warm_up(self, progress: Progress) -> None:
        progress(1, 1)

    def appearance(self, picture: Tensor) -> Tensor:
        with self._mode():
            smaller = functional.avg_pool2d(picture, 2) if self._setup.half == "all" else picture
            feature: Tensor = self._networks.appearance(smaller)
            return feature.float()

    def motion(self, pictures: Tensor) -> RawMotion:
        with self._mode():
            raw: RawMotion = self._networks.motion(pictures)
            return RawMotion(*(value.float() for value in raw))

    def prepare_source(self, feature: Tensor, keypoints: Tensor) -> PreparedSource:
        return PreparedSource(feature, keypoints)

    def draw(self, sources: Sequence[PreparedSource], driven: Tensor) -> Tensor:
        features = torch.cat([source.feature for source in sources]).to(self.dtype)
        keypoints = torch.cat([source.keypoints for source in sources])
        with self._mode():
            if self._setup.graphs:
                return self._replayed(features, driven, keypoints)
            if self._setup.compiled:
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # the former frame's may go
            return self._drawn(features, driven, keypoints)

    def _drawn(self, features: Tensor, driven: Tensor, keypoints: Tensor) -> Tensor:
        warped = self._networks.warping(features, driven, keypoints).feature
        if self._setup.half == "generator":
            warped = functional.avg_pool2d(warped, 2)
        picture: Tensor = self._networks.generator(warped)
        return picture if self._setup.half == "none" else functional.interpolate(picture.float(), scale_factor=2.0)

    def _replayed(self, *inputs: Tensor) -> Tensor:
        size = len(inputs[0])
        if size not in self._graphs:
            self._graphs[size] = self._pool.step(self._drawn, [value.clone() for value in inputs])
        for inside, value in zip(self._graphs[size].inputs, inputs, strict=True):
            inside.copy_(value)
        return self._graphs[size].run()

    @contextmanager
    def _mode(self) -> Iterator[None]:
        setup = self._setup
        with ExitStack() as stack:
            # LivePortrait calls this in inference mode, which the original does not use.
            stack.enter_context(torch.inference_mode(setup.inference))
            stack.enter_context(torch.no_grad())
            if setup.autocast:
                stack.enter_context(torch.autocast(self.device.type, DTYPES[setup.autocast]))
            yield


def _dynamic(network: MotionExtractor) -> MotionExtractor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a deprecation: it will move to another package
        quantize = torch.ao.quantization.quantize_dynamic
        quantized: MotionExtractor = quantize(network, {nn.Linear}, torch.qint8)  # type: ignore[no-untyped-call]
    return quantized


def _channels_last(network: nn.Module) -> None:
    for parameter in network.parameters():
        if layout := LAYOUTS.get(parameter.dim()):
            parameter.data = parameter.data.contiguous(memory_format=layout)


class CapturingBackend:
    """A backend that keeps the inputs and the result of its first `draw` since `restart`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.name, self.device, self.dtype = backend.name, backend.device, backend.dtype
        self.warm_up, self.appearance, self.prepare_source = backend.warm_up, backend.appearance, backend.prepare_source
        self.motion = backend.motion
        self._shown: list[Tensor] = []
        self._waits = True

    def draw(self, sources: Sequence[PreparedSource], driven: Tensor) -> Tensor:
        crops = self._backend.draw(sources, driven)
        if self._waits:
            self._shown, self._waits = [driven[0].clone(), crops[0].clone()], False
        return crops

    def restart(self) -> None:
        """Keep the next call."""
        self._waits = True

    def shown(self) -> tuple[Tensor, Tensor]:
        """Return the driven keypoints (21, 3) and the picture (3, 512, 512) about 0..1 that were kept."""
        keypoints, crop = self._shown
        return keypoints, crop
