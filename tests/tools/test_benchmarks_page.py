"""BENCHMARKS.md is what the script makes of the committed results, and these say where they come from."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("torch", reason="the reports of LivePortrait need PyTorch")

from pipeline.bench import host
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
