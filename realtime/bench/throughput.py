"""Measure how many sessions a device can serve."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline.bench.known_driver import DrivenPortrait
from pipeline.core.animator import Animator, DrivingFrame
from pipeline.core.timing import Stopwatch
from realtime.gpu.batching import Kind
from realtime.gpu.gpu_thread import Worker


@dataclass(frozen=True)
class Throughput:
    """The figures of some sessions at once."""

    sessions: int
    fps: float  # pictures per second of all sessions together
    latency_ms: Mapping[str, float]  # p50, p95, p99 of a session, from the camera's picture to the animated one
    busy: float  # 0..1: share of time in which the device had work
    batches: Mapping[str, float]  # mean size, by the kind of request: motion, i420


def throughput(
    worker: Worker[Any], puppets: Sequence[DrivenPortrait], frames: Sequence[DrivingFrame], rounds: int, warm: int
) -> Throughput:
    """Run one session per portrait; each sends `rounds` frames, after `warm` that are not counted.

    A session sends its next frame once it has the picture, not at the pace of a camera: it is the limit of the device.
    """
    watch = Stopwatch()
    with ThreadPoolExecutor(len(puppets)) as threads:

        def together(session: Callable[[DrivenPortrait], None]) -> None:
            list(threads.map(session, puppets))

        together(lambda puppet: _play(worker, puppet, frames, warm, Stopwatch()))
        before, start = worker.thread.stats(), time.perf_counter()
        together(lambda puppet: _play(worker, puppet, frames, rounds, watch))
        seconds, after = time.perf_counter() - start, worker.thread.stats()
    return Throughput(
        sessions=len(puppets),
        fps=len(puppets) * rounds / seconds,
        latency_ms=watch.percentiles()["frame"],
        busy=(after.busy_seconds - before.busy_seconds) / (after.seconds - before.seconds),
        batches=_mean_sizes(Counter(after.batches) - Counter(before.batches)),
    )


def _play(
    animator: Animator, puppet: DrivenPortrait, frames: Sequence[DrivingFrame], count: int, watch: Stopwatch
) -> None:
    for number in range(count):
        with watch.stage("frame"):
            puppet.perform(animator, frames[number % len(frames)])


def _mean_sizes(batches: Mapping[tuple[Kind, int], int]) -> dict[str, float]:
    calls, requests = Counter[str](), Counter[str]()
    for (kind, size), count in batches.items():
        calls[kind] += count
        requests[kind] += count * size
    return {kind: requests[kind] / calls[kind] for kind in calls}
