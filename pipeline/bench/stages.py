"""Time the stages from a camera's picture on the host to the animated one, and how batches help."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.bench.device_timer import synchronize, time_on_device
from pipeline.bench.host import peak_memory
from pipeline.bench.known_driver import NO_MODELS, DrivenPortrait
from pipeline.bench.networks import Milliseconds, NetworkInputs, Step, in_short
from pipeline.core.animator import DrivingFrame, Layout, Picture, Planes
from pipeline.core.timing import Stopwatch
from pipeline.liveportrait.animator import LivePortrait
from pipeline.liveportrait.backend import Backend, PreparedSource
from pipeline.liveportrait.networks.motion_extractor import RawMotion
from pipeline.liveportrait.pixels import CropRequest, Finish, Pixels


@dataclass(frozen=True)
class Batch:
    """Pictures that a backend draws in one call."""

    size: int
    reason: str | None = None  # why it failed
    ms: Mapping[str, float] = field(default_factory=dict)  # p50, p95, p99 of the whole call


@torch.inference_mode()
def stages(
    animator: LivePortrait, puppet: DrivenPortrait, frames: Sequence[DrivingFrame], rounds: int, step: Step
) -> Milliseconds:
    """Time each stage of a frame, waiting for the device after each, and the whole frame without waiting ("frame")."""
    watch, whole = Stopwatch(), Stopwatch()
    backend = _TimedBackend(animator.backend, watch)
    pixels = _TimedPixels(animator.pixels, animator.backend.device, watch)
    timed = LivePortrait(NO_MODELS, animator.correctors, backend, pixels, size=animator.size)
    for number in range(warm_rounds(rounds)):
        puppet.perform(animator, frames[number % len(frames)])
    for number in range(rounds):
        frame = frames[number % len(frames)]
        with whole.stage("frame"):
            puppet.perform(animator, frame)
        _perform(timed, puppet, frame, watch)
        step()
    return watch.percentiles() | whole.percentiles()


def _perform(animator: LivePortrait, puppet: DrivenPortrait, frame: DrivingFrame, watch: Stopwatch) -> None:
    [motion] = animator.read_motion([frame])
    with watch.stage("compose"):
        drawing = animator.drive(puppet.cue(motion))
    animator.start_pictures([drawing], "i420")()


class _TimedBackend:
    """A backend that waits for the device after each call, and times it."""

    def __init__(self, backend: Backend, watch: Stopwatch) -> None:
        self._backend, self._watch = backend, watch
        self.name, self.device, self.dtype = backend.name, backend.device, backend.dtype
        self.warm_up, self.appearance, self.prepare_source = backend.warm_up, backend.appearance, backend.prepare_source

    def motion(self, pictures: Tensor) -> RawMotion:
        with self._watch.stage("motion"):
            raw = self._backend.motion(pictures)
            synchronize(self.device)
        return raw

    def draw(self, sources: Sequence[PreparedSource], driven: Tensor) -> Tensor:
        with self._watch.stage("draw"):
            crops = self._backend.draw(sources, driven)
            synchronize(self.device)
        return crops


class _TimedPixels:
    """Pixels that wait for the device after each call, and time it."""

    def __init__(self, pixels: Pixels, device: torch.device, watch: Stopwatch) -> None:
        self._pixels, self._device, self._watch = pixels, device, watch

    def upload_crops(self, requests: Sequence[CropRequest]) -> Tensor:
        with self._watch.stage("views"):
            inputs = self._pixels.upload_crops(requests)
            synchronize(self._device)
        return inputs

    def download(self, values: Tensor) -> Callable[[], Tensor]:
        with self._watch.stage("numbers"):
            result = self._pixels.download(values)()
        return lambda: result

    def compose(
        self, crops: Tensor, finishes: Sequence[Finish], layout: Layout
    ) -> Callable[[], list[Picture | Planes]]:
        with self._watch.stage("pictures"):
            result = self._pixels.compose(crops, finishes, layout)()
        return lambda: result


def batches(backend: Backend, inputs: NetworkInputs, sizes: Sequence[int], rounds: int, step: Step) -> list[Batch]:
    """Time each batch size in turn, again and again; every picture is of another portrait."""
    ready = {size: _batch(backend, inputs, size) for size in sizes}
    watch, failed = Stopwatch(), dict[int, str]()
    for number in range(-warm_rounds(rounds), rounds):
        for size in [size for size in sizes if size not in failed]:
            try:
                seconds = time_on_device(backend.device, ready[size])
            except Exception as error:
                failed[size] = in_short(error)
                continue
            if number >= 0:
                watch.add(str(size), seconds)
        step()
    times = watch.percentiles()
    return [Batch(size, failed.get(size), times.get(str(size), {})) for size in sizes]


def _batch(backend: Backend, inputs: NetworkInputs, size: int) -> Callable[[], Tensor]:
    sources = [backend.prepare_source(inputs.feature.clone(), inputs.source) for _ in range(size)]
    driven = torch.cat([inputs.driven[number % len(inputs.driven)] for number in range(size)])
    return lambda: backend.draw(sources, driven)


def memory_mb(device: torch.device) -> dict[str, float | None]:
    """Return the most MB that this process has used, on the host and on the device."""
    held = {"host": peak_memory()}
    if device.type == "cuda":
        held["device, allocated"] = torch.cuda.max_memory_allocated(device) / 1e6
        held["device, reserved"] = torch.cuda.max_memory_reserved(device) / 1e6
    return held


def warm_rounds(rounds: int) -> int:
    """Return how many rounds come first and are not measured, while kernels are chosen and clocks rise."""
    return 1 + rounds // 10
