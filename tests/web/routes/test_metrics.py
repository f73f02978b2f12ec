"""GET /metrics: what Prometheus reads."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from realtime.gpu.gpu_thread import WorkerStats
from realtime.metrics.counters import BOUNDS
from realtime.metrics.page_report import PageReport
from realtime.session import SessionContext
from realtime.sessions import Sessions
from tests.support.fakes import LOOPBACK, FakeAnimator, FakePeer, FakeTracker, portrait
from tests.support.web_app import client, make_engine
from web.routes.metrics import PuppetMetrics

DASHBOARD = Path(__file__).parents[3] / "web" / "grafana.json"
Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(text: str) -> Samples:
    """Values by name and the values of labels."""
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation for family in families)
    return {
        (sample.name, tuple(sample.labels.values())): sample.value for family in families for sample in family.samples
    }


def read(made: PuppetMetrics) -> Samples:
    return samples(generate_latest(made).decode())


def test_before_anything_happened() -> None:
    with client() as web:
        answer = web.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    told = samples(answer.text)
    assert told["puppet_info", ("fake", "cpu", "0.1.0")] == 1
    assert told["puppet_sessions", ()] == told["puppet_glass_to_glass_seconds_count", ()] == 0
    assert not [name for name, _ in told if "gpu" in name or "batch" in name]  # there is no GPU thread here


def test_the_guard_stands_before_it() -> None:
    with client(password="secret") as web:
        known = {"authorization": "Basic " + base64.b64encode(b"any:secret").decode()}
        assert web.get("/metrics").status_code == 401
        assert web.get("/metrics", headers=known).status_code == 200
        assert web.get("/metrics", headers={**known, "host": "evil.example"}).status_code == 421


def test_a_session_is_counted_while_it_lives_and_after() -> None:
    async def run() -> tuple[Samples, Samples]:
        sessions = Sessions(SessionContext(FakeAnimator(), FakeTracker, portrait(), LOOPBACK))
        made, peer = PuppetMetrics(sessions, make_engine()), FakePeer()
        session, answer = await sessions.open(await peer.offer())
        await peer.accept(answer)
        await peer.number(*range(5, 255))
        session.telemetry.record_page_report(PageReport(latencies=(41.0, 44.0, 90.0)))
        living = read(made)
        await sessions.close(session.id)
        await sessions.close_all()
        await peer.close()
        return living, read(made)

    living, ended = asyncio.run(run())
    assert (living["puppet_sessions", ()], ended["puppet_sessions", ()]) == (1, 0)
    assert living["puppet_encoder_target_bits_per_second", ()] >= 500_000
    assert ended["puppet_sessions_ended_total", ("asked to",)] == 1
    for told in (living, ended):
        assert told["puppet_glass_to_glass_seconds_bucket", ("0.045",)] == 2
        assert told["puppet_glass_to_glass_seconds_bucket", ("+Inf",)] == 3
        assert told["puppet_glass_to_glass_seconds_sum", ()] == pytest.approx(0.175)
        assert told["puppet_stage_seconds_count", ("track",)] == told["puppet_frames_total", ("animated",)] >= 1
    grown = [key for key in living if key[0].endswith(("_total", "_bucket", "_count"))]
    assert grown and all(ended[key] >= living[key] for key in grown)


def test_the_gpu_thread_and_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: dict[tuple[Any, int], int] = {("motion", 1): 5, ("motion", 3): 2, ("i420", 20): 1}
    stats = WorkerStats(seconds=10.0, busy_seconds=4.0, waited_seconds=0.5, batches=batches)
    engine = replace(make_engine(), thread=cast(Any, SimpleNamespace(stats=lambda: stats)))
    books = {"is_initialized": lambda: True, "memory_allocated": lambda: 7, "memory_reserved": lambda: 9}
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(**books)))

    async def run() -> Samples:
        return read(PuppetMetrics(Sessions(SessionContext(FakeAnimator(), FakeTracker, portrait(), LOOPBACK)), engine))

    told = asyncio.run(run())
    sizes = ("1", "2", "4", "8", "16", "+Inf")
    assert [told["puppet_batch_size_bucket", ("motion", size)] for size in sizes] == [5, 5, 7, 7, 7, 7]
    assert [told["puppet_batch_size_bucket", ("i420", size)] for size in sizes] == [0, 0, 0, 0, 0, 1]
    assert told["puppet_batch_size_sum", ("motion",)] == 11
    assert (told["puppet_queue_wait_seconds_count", ()], told["puppet_queue_wait_seconds_sum", ()]) == (31, 0.5)
    assert told["puppet_gpu_busy_seconds_total", ()] == 4
    assert (told["puppet_gpu_memory_bytes", ("used",)], told["puppet_gpu_memory_bytes", ("reserved",)]) == (7, 9)


def test_each_application_has_its_own() -> None:
    with client() as first, client() as second:
        first.post("/session", content="v=0", headers={"content-type": "application/sdp"})
        assert samples(first.get("/metrics").text)["puppet_errors_total", ("BadOffer",)] == 1
        assert ("puppet_errors_total", ("BadOffer",)) not in samples(second.get("/metrics").text)


def test_the_dashboard_asks_for_what_there_is() -> None:
    source = (DASHBOARD.parent / "routes" / "metrics.py").read_text()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(asked) >= 10
    for expression in asked:
        for name in (word for word in expression.replace("(", " ").replace("[", " ").split() if "puppet" in word):
            bare = name.partition("{")[0].rstrip(")")
            for suffix in ("_total", "_bucket", "_sum", "_count"):
                bare = bare.removesuffix(suffix)
            assert f'"{bare}"' in source, expression
    assert BOUNDS[-1] == 5.0  # the histogram's panels end there
