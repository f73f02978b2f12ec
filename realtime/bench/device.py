"""`run.py benchmark --device`: measure how fast a device draws with LivePortrait. Begin with `measure`."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

from pipeline.bench.host import machine
from pipeline.bench.known_driver import NO_MODELS, DrivenPortrait, driven_portrait, driving_frames, picture_and_face
from pipeline.bench.networks import Baseline, Step, baselines, network_inputs, our_backend, side_by_side
from pipeline.bench.roofline import measure_roofline
from pipeline.bench.stages import batches, memory_mb, stages, warm_rounds
from pipeline.core.animator import Progress
from pipeline.core.choices import BackendName, Device, Precision
from pipeline.liveportrait.animator import LivePortrait
from pipeline.liveportrait.backends.registry import Build, builder
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.driven_keypoints import Drawing
from pipeline.load_liveportrait import about_weights, assemble, choose_dtype, chosen_device, load_liveportrait
from realtime.bench.device_report import DeviceReport
from realtime.bench.throughput import Throughput, throughput
from realtime.gpu.gpu_thread import GpuThread, Worker


@dataclass(frozen=True)
class DeviceEffort:
    """How much is measured."""

    frames: int  # rounds of each measurement
    pictures: int  # how many different ones are compared for quality
    batches: tuple[int, ...]
    sessions: tuple[int, ...]


EFFORTS = {
    "cpu": DeviceEffort(frames=3, pictures=2, batches=(1, 2), sessions=(1, 2)),
    "cuda": DeviceEffort(frames=300, pictures=4, batches=(1, 2, 4, 8), sessions=(1, 2, 4, 8, 16)),
}


@dataclass(frozen=True)
class Candidate:
    """The backend that is measured, and its device."""

    load: Callable[[], Networks]  # returns new networks in float32
    build: Build  # makes the backend
    dtype: torch.dtype  # in which it draws
    device: torch.device


def candidate(device: Device, backend: BackendName, precision: Precision, weights: Path | None) -> Candidate:
    """Return what the command line asks for. Raise AnimatorError or WeightsError if it is not available."""
    chosen = chosen_device(device)
    gpu = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else None
    build = builder(backend, chosen)
    return Candidate(partial(load_liveportrait, weights), build, choose_dtype(precision, gpu, backend), chosen)


def effort(device: torch.device, frames: int | None) -> DeviceEffort:
    """Return how much to measure on a device of this kind, with `frames` rounds if given."""
    usual = EFFORTS[device.type]
    return replace(usual, frames=frames or usual.frames)


def measure(
    candidate: Candidate, effort: DeviceEffort, warming: Progress, progress: Progress
) -> Iterator[DeviceReport]:
    """Yield the report so far after each part, so that an interrupted run is not lost; the slowest part comes last.

    The device is used in the GPU thread only, as in a session.
    """
    start, device = time.perf_counter(), candidate.device
    with closing(GpuThread()) as thread:
        animator, weights = _animator(candidate, thread)
        worker = Worker(animator, thread)
        worker.warm_up(warming)
        bench = _Bench(animator, worker, effort, progress)
        seconds = bench.first_picture() - start
        backend = f"{animator.backend.name} in {str(animator.backend.dtype).removeprefix('torch.')}"
        report = DeviceReport(_machine(device), weights, backend, effort.frames, round(seconds, 2))
        everyone = [*baselines(candidate.load, device), our_backend(animator.backend, seconds)]
        for part in bench.parts(everyone):
            report = replace(report, **part)
            yield report


def _animator(candidate: Candidate, thread: GpuThread) -> tuple[LivePortrait, str]:
    """Return the animator, and what its weights are in words."""
    networks, build = candidate.load(), candidate.build
    animator = assemble(NO_MODELS, networks, build, candidate.dtype, executor=thread, reload=candidate.load)
    return animator, about_weights(networks.digests)


class _Bench:
    """An animator in its thread, and the inputs of the measurement."""

    def __init__(
        self, animator: LivePortrait, worker: Worker[Drawing], effort: DeviceEffort, progress: Progress
    ) -> None:
        self._animator, self._worker, self._effort = animator, worker, effort
        self._device = animator.backend.device
        self._frames = list(driving_frames())
        self._puppets: list[DrivenPortrait] = []
        rounds = 3 * effort.frames + warm_rounds(effort.frames) + len(effort.sessions)
        done = count(1)
        self._step: Step = lambda: progress(next(done), rounds)

    def first_picture(self) -> float:
        """Return when the first picture was there, by time.perf_counter."""
        self._invite(1)[0].perform(self._worker, self._frames[0])
        return time.perf_counter()

    def parts(self, everyone: Sequence[Baseline]) -> Iterator[dict[str, Any]]:
        """Yield what each part adds to the report."""
        run, animator, rounds, step = self._worker.thread.run, self._animator, self._effort.frames, self._step
        [mine] = self._invite(1)
        yield {"stages_ms": run(lambda: stages(animator, mine, self._frames, rounds, step))}
        apart = len(self._frames) // self._effort.pictures
        inputs = run(lambda: network_inputs(animator, mine, self._frames[apart // 2 :: apart]))
        drawn = run(lambda: batches(animator.backend, inputs, self._effort.batches, rounds, step))
        yield {"batches": drawn, "memory_mb": memory_mb(self._device)}
        found: list[Throughput] = []
        for sessions in self._effort.sessions:
            found.append(throughput(self._worker, self._invite(sessions), self._frames, rounds, warm_rounds(rounds)))
            step()
            yield {"sessions": tuple(found)}
        yield {"roofline": run(lambda: measure_roofline(self._device))}
        yield {"networks": run(lambda: side_by_side(everyone, inputs, self._device, rounds, step))}

    def _invite(self, count: int) -> list[DrivenPortrait]:
        """Return `count` portraits, each prepared anew as the sessions of different users prepare them."""
        while len(self._puppets) < count:
            portrait = self._animator.portrait(*picture_and_face())
            self._puppets.append(driven_portrait(self._worker, portrait))
        return self._puppets[:count]


def _machine(device: torch.device) -> dict[str, str]:
    if device.type != "cuda":
        return machine() | {"device": f"CPU, {torch.get_num_threads()} threads"}
    about = torch.cuda.get_device_properties(device)
    gpu = f"{about.name}, {about.total_memory / 1e9:.0f} GB, {about.multi_processor_count} multiprocessors"
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return machine() | {"device": f"{gpu}; driver {_driver()}, CUDA {torch.version.cuda}, cuDNN {cudnn}"}


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"
