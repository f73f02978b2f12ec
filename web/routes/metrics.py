"""GET /metrics: what the sessions did, in Prometheus's text format. `web/grafana.json` is a dashboard for it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from realtime.gpu.gpu_thread import WorkerStats
from realtime.metrics.counters import BOUNDS, Counters, Histogram
from realtime.sessions import Sessions
from web import __version__
from web.routes.dependencies import shared
from web.services.engine import Engine

BATCH_SIZES = (1, 2, 4, 8, 16)

router = APIRouter()


@router.get("/metrics")
async def metrics(registry: Annotated[CollectorRegistry, shared("registry")]) -> Response:
    """Answer with all figures, in Prometheus's text format."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def registry(sessions: Sessions, engine: Engine) -> CollectorRegistry:
    """Return a registry of one application's figures, which are collected on request."""
    made = CollectorRegistry()
    made.register(_Puppet(sessions, engine))
    return made


class _Puppet(Collector):
    def __init__(self, sessions: Sessions, engine: Engine) -> None:
        self._sessions = sessions
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        yield from self._about()
        yield from _of_sessions(self._sessions.counters())
        if self._engine.thread:
            yield from _of_worker(self._engine.thread.stats())
        yield from _gpu_memory()

    def _about(self) -> Iterator[Metric]:
        loaded = self._engine.loaded
        about = {"version": __version__, "animator": loaded.animator.name, "device": loaded.device}
        yield InfoMetricFamily("puppet", "What runs here.", about)
        yield GaugeMetricFamily("puppet_sessions", "Sessions now.", len(self._sessions))
        watched = sum(len(session.viewers) for session in self._sessions)
        yield GaugeMetricFamily("puppet_viewers", "Viewers of all sessions (WHEP).", watched)
        encoders = sum(session.telemetry.broadcast.encoders for session in self._sessions)
        yield GaugeMetricFamily(
            "puppet_encoders", "Encoders in use: one for each session, however many watch it.", encoders
        )
        target = sum(session.telemetry.broadcast.bitrate for session in self._sessions)
        yield GaugeMetricFamily(
            "puppet_encoder_target_bits_per_second",
            "Target bitrate of all encoders, from their receivers' reports.",
            target,
        )


def _of_sessions(counters: Counters) -> Iterator[Metric]:
    yield _counts("puppet_sessions_ended", "Sessions that ended, by reason.", "reason", counters.sessions_ended)
    yield _counts(
        "puppet_frames", "Driving frames and animated pictures, by what became of them.", "fate", counters.frames
    )
    yield _counts("puppet_errors", "Failures and refusals, by kind.", "kind", counters.errors)
    yield CounterMetricFamily("puppet_encoded_bytes", "Bytes of encoded pictures.", counters.encoded_bytes)
    stages = HistogramMetricFamily("puppet_stage_seconds", "Time for a frame, by stage.", labels=["stage"])
    for name, histogram in counters.stages.items():
        stages.add_metric([name], _buckets(BOUNDS, histogram.counts), histogram.sum)
    yield stages
    yield _histogram(
        "puppet_glass_to_glass_seconds", "From camera to screen, as pages report it.", counters.glass_to_glass
    )


def _of_worker(stats: WorkerStats) -> Iterator[Metric]:
    sizes = HistogramMetricFamily("puppet_batch_size", "Requests run together on the GPU.", labels=["kind"])
    for kind in sorted({kind for kind, _ in stats.batches}):
        counts = {size: count for (of, size), count in stats.batches.items() if of == kind}
        sizes.add_metric([kind], _size_buckets(counts), sum(size * count for size, count in counts.items()))
    yield sizes
    requests = sum(size * count for (_, size), count in stats.batches.items())
    waits = "puppet_queue_wait_seconds", "Time for which requests waited for the GPU thread."
    yield SummaryMetricFamily(*waits, count_value=requests, sum_value=stats.waited_seconds)
    yield CounterMetricFamily("puppet_gpu_busy_seconds", "Time in which the GPU worked.", stats.busy_seconds)


def _gpu_memory() -> Iterator[Metric]:
    """Yield what PyTorch holds, if it uses the GPU; any thread may ask it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        memory = GaugeMetricFamily("puppet_gpu_memory_bytes", "GPU memory held by PyTorch.", labels=["state"])
        memory.add_metric(["used"], torch.cuda.memory_allocated())
        memory.add_metric(["reserved"], torch.cuda.memory_reserved())
        yield memory


def _counts(name: str, words: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, words, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _histogram(name: str, words: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(name, words, _buckets(BOUNDS, histogram.counts), histogram.sum)


def _size_buckets(counts: Mapping[int, int]) -> list[tuple[str, float]]:
    edges = (0, *BATCH_SIZES, sys.maxsize)
    within = [sum(n for size, n in counts.items() if low < size <= high) for low, high in pairwise(edges)]
    return _buckets(BATCH_SIZES, within)


def _buckets(bounds: Iterable[float], counts: Iterable[int]) -> list[tuple[str, float]]:
    """Return for each bound how many values are at most as large, as Prometheus wants it."""
    names = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    return list(zip(names, map(float, accumulate(counts)), strict=True))
