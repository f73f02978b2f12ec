"""BENCHMARKS.md is what the script makes of the committed results, and these say where they come from."""

from __future__ import annotations

import re
from dataclasses import asdict, replace

import pytest

pytest.importorskip("torch", reason="the reports of LivePortrait need PyTorch")

from pipeline.bench import host
from pipeline.bench.animator import Benchmark, QualityRow
from pipeline.bench.compare.figures import Ablation, Comparison, Figures, Metric
from pipeline.bench.network_costs import Cost, NetworkReport, PrecisionError
from pipeline.bench.networks import Measured
from pipeline.bench.tracked_quality import GROUPS, PARAMETERS, Quality
from realtime.bench.device_report import DeviceReport
from realtime.bench.throughput import Throughput
from tests.tools import benchmarks_page

RESULTS = benchmarks_page.read_results()
LATENCY = {
    "settings": {"codec": "VP8", "loss_percent": 2.0, "delay_ms": 40.0},
    "glass_to_glass_ms": {"p50": 71.4, "p95": 120, "p99": 149},
    "server_ms": {"p50": 17.0, "p95": 29.6},
    "frames": {"seen": 778, "sent": 909},
    "longest_gap_ms": 287.4,
    "first_picture_ms": 272,
}


def test_the_page_is_made_of_the_committed_results():
    assert benchmarks_page.PAGE.read_text() == benchmarks_page.page(RESULTS), (
        "run `python -m tests.tools.benchmarks_page`"
    )


def test_the_readme_has_the_figures_of_the_committed_results():
    text = benchmarks_page.README.read_text()
    assert benchmarks_page.FIGURES.search(text) and text == benchmarks_page.readme(text, RESULTS)
    shown = benchmarks_page.readme(text, {"latency_vp8.json": LATENCY})
    assert "| glass to glass in Chromium on the same machine, VP8 | 71     | 120    |\n" in shown


@pytest.mark.parametrize("name", RESULTS)
def test_each_result_names_its_machine_date_commit_and_command(name):
    found = RESULTS[name]
    assert found["machine"]["machine"] and found["machine"]["software"]
    assert re.fullmatch(r"[0-9a-f]{12}", found["machine"]["commit"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d\+00:00", found["date"])
    assert not re.search(r"(^|\s)/", found["command"]), "a path of somebody's machine"


def test_a_result_without_its_own_machine_gets_it_from_the_host():
    found = host.result("run.py latency", {"fps": 30.0})
    assert found["command"] == "run.py latency" and found["fps"] == 30.0 and found["machine"] == host.machine()
    assert host.result("x", {"machine": {"machine": "a toaster"}})["machine"] == {"machine": "a toaster"}


def test_a_row_of_the_latency_table():
    text = benchmarks_page.page({"a.json": host.result("run.py latency", LATENCY)})
    cells = ["VP8", "2 % lost, 40 ms", "71 / 120 / 149", "17.0 / 29.6", "778 of 909", "287", "272"]
    assert f"| {' | '.join(cells)} |" in re.sub(r" +\|", " |", text)
    assert "Not run on a GPU" in text and "`run.py latency`" in text


def test_a_result_of_a_gpu_ends_the_note_that_there_is_none():
    found = host.result("run.py", {"machine": {"machine": "x", "software": "y", "device": "NVIDIA H100"}})
    assert "Not run on a GPU" not in benchmarks_page.page({"a.json": found})


RANKS = {"p50": 4.0, "p95": 5.0, "p99": 6.0}
PLAIN = Measured("eager FP32", "plain", "fp32", None, 1.0, {"frame": RANKS}, None)
FAST = Measured("--backend x", "fast", "fp16", None, 1.0, {"frame": dict.fromkeys(RANKS, 2.0)}, 41.234)
BROKEN = Measured("compiled", "broken", "fp16", "RuntimeError: no compiler", 0.0, {}, None)
QUALITY = Quality(9, dict.fromkeys(GROUPS, 1.0), dict.fromkeys(PARAMETERS, 0.5), (1.0, 2.0, 3.0), 0.1)
ERRORS = {"bfloat16": (PrecisionError("picture", 0.1, 0.01, 1.0, None),)}
ABLATION = (
    Ablation("exact", "measured", None, Figures(3494.0, 3500.0, 1.72, 1627.0, 81.1, 1.0, 0.0), Figures(speedup=0.6)),
    Ablation("tf32", "unavailable", "It needs a CUDA device."),
)
REPORTS = {
    "device_cpu.json": DeviceReport(
        *({"device": "CPU, 2 threads"}, "w", "x", 3, 1.0, None, {"draw": RANKS}),
        sessions=(Throughput(2, 0.5, RANKS, 1.0, {}),),
        networks=(PLAIN, BROKEN, FAST),
    ),
    "compare.json": Comparison({}, "w", "run.py compare", (Metric("frames per second", 0.2, 0.66, 230.0),), ABLATION),
    "meshwarp.json": Benchmark({}, "meshwarp", 512, {"total": RANKS}, 90.0, None, (QualityRow("a", "d", 0, QUALITY),)),
    "precision.json": NetworkReport({}, "CPU", "w", (Cost("warping", "float32", 45_523_073, 1.38, None),), ERRORS),
}


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("device_cpu.json", "| CPU, 2 threads | eager FP32 | 4.00 | 5.00 | 2.00x | reference |"),
        ("device_cpu.json", "| CPU, 2 threads | --backend x | 2.00 | 2.00 | 1.00x | 41.2 |"),
        ("device_cpu.json", "| CPU, 2 threads | compiled | not available: RuntimeError: no compiler | - | - | - |"),
        ("device_cpu.json", "| CPU, 2 threads | draw | 4.00 | 5.00 | 6.00 |"),
        ("device_cpu.json", "| CPU, 2 threads | 2 | 0.5 | 4.00 | 5.00 | 6.00 |"),
        ("compare.json", "| frames per second | 0.2 | 0.66 | +230.0 % |"),
        ("compare.json", "| exact | 3,494 | 1.72x | 1,627 | 81.1 | 1.0000 | 0.60x |"),
        ("meshwarp.json", "| total | 4.00 | 5.00 | 6.00 |"),
        ("meshwarp.json", "| a | d | 9 | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 | 0.50 | 0.50 | 0.50 | 1.0/2.0/3.0 |"),
        ("precision.json", "| warping | float32 | 45,523,073 | 1.380 | - |"),
        ("precision.json", "| bfloat16 | picture | 0.1 | 0.01 | 1 | same |"),
    ],
)
def test_a_row_of_each_table(name, row):
    report = asdict(REPORTS[name])
    report["machine"] = host.machine() | report["machine"]
    assert row in re.sub(r" +\|", " |", benchmarks_page.page({name: host.result("run.py", report)}))


def test_an_unfinished_measurement_is_no_error():
    unfinished = host.result("run.py", asdict(replace(REPORTS["device_cpu.json"], networks=())))
    assert "draw" not in benchmarks_page.readme(
        "<!-- figures -->\n<!-- end of figures -->", {"device_cpu.json": unfinished}
    )
