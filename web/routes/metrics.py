"""GET /health and /metrics: how the server does. `web/grafana.json` is a dashboard for the metrics."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
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
from realtime.metrics.counters import BOUNDS, Counters
from realtime.sessions import Sessions
from web import __version__
from web.routes.dependencies import EngineDep, SessionsDep, SettingsDep
from web.services.engine import Engine

BATCH_SIZES = (1, 2, 4, 8, 16)

router = APIRouter()


@router.get("/health")
async def health(engine: EngineDep, sessions: SessionsDep, settings: SettingsDep) -> dict[str, Any]:
    """Answer with the version, the animator and why it was chosen, its device, and how many sessions there are."""
    return {
        "status": "ok",
        "version": __version__,
        "animator": {"name": engine.loaded.animator.name, "reason": engine.loaded.reason},
        "device": engine.loaded.device,
        "sessions": len(sessions),
        "max_sessions": settings.max_sessions,
    }


@router.get("/metrics")
async def metrics(engine: EngineDep, sessions: SessionsDep) -> Response:
    """Answer with all figures, in Prometheus's text format."""
    return Response(generate_latest(PuppetMetrics(sessions, engine)), media_type=CONTENT_TYPE_LATEST)


@dataclass(frozen=True)
class PuppetMetrics(Collector):
    """The figures of one application, which are collected on request."""

    sessions: Sessions
    engine: Engine

    def collect(self) -> Iterable[Metric]:
        yield from self._about()
        yield from _of_sessions(self.sessions.counters())
        if self.engine.thread:
            yield from _of_worker(self.engine.thread.stats())
        yield from _gpu_memory()

    def _about(self) -> Iterator[Metric]:
        loaded = self.engine.loaded
        about = {"version": __version__, "animator": loaded.animator.name, "device": loaded.device}
        yield InfoMetricFamily("puppet", "What runs here.", about)
        yield GaugeMetricFamily("puppet_sessions", "Sessions now.", len(self.sessions))
        watched = sum(len(session.viewers) for session in self.sessions)
        yield GaugeMetricFamily("puppet_viewers", "Viewers of all sessions (WHEP).", watched)
        broadcasts = [session.telemetry.broadcast for session in self.sessions]
        encoders = "puppet_encoders", "Encoders in use: one for each session, however many watch it."
        yield GaugeMetricFamily(*encoders, sum(broadcast.encoders for broadcast in broadcasts))
        target = (
            "puppet_encoder_target_bits_per_second",
            "Target bitrate of all encoders, from their receivers' reports.",
        )
        yield GaugeMetricFamily(*target, sum(broadcast.bitrate for broadcast in broadcasts))


def _of_sessions(counters: Counters) -> Iterator[Metric]:
    yield _counts("puppet_sessions_ended", "Sessions that ended, by reason.", "reason", counters.sessions_ended)
    fates = "puppet_frames", "Driving frames and animated pictures, by what became of them.", "fate"
    yield _counts(*fates, counters.frames)
    yield _counts("puppet_errors", "Failures and refusals, by kind.", "kind", counters.errors)
    yield CounterMetricFamily("puppet_encoded_bytes", "Bytes of encoded pictures.", counters.encoded_bytes)
    stages = HistogramMetricFamily("puppet_stage_seconds", "Time for a frame, by stage.", labels=["stage"])
    for name, histogram in counters.stages.items():
        stages.add_metric([name], _buckets(BOUNDS, histogram.counts), histogram.sum)
    yield stages
    page = counters.glass_to_glass
    latency = "puppet_glass_to_glass_seconds", "From camera to screen, as pages report it."
    yield HistogramMetricFamily(*latency, _buckets(BOUNDS, page.counts), page.sum)


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


def _size_buckets(counts: Mapping[int, int]) -> list[tuple[str, float]]:
    edges = (0, *BATCH_SIZES, sys.maxsize)
    within = [sum(n for size, n in counts.items() if low < size <= high) for low, high in pairwise(edges)]
    return _buckets(BATCH_SIZES, within)


def _buckets(bounds: Iterable[float], counts: Iterable[int]) -> list[tuple[str, float]]:
    """Return for each bound how many values are at most as large, as Prometheus wants it."""
    names = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    return list(zip(names, map(float, accumulate(counts)), strict=True))
