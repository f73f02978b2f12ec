from __future__ import annotations

import json
import re

import pytest

import run
from pipeline.bench.animator import Benchmark, QualityRow
from pipeline.bench.tracked_quality import GROUPS, PARAMETERS, Quality
from pipeline.files.demo_clip import write_demo


def quality(frames, value):
    return Quality(
        frames, dict.fromkeys(GROUPS, value), dict.fromkeys(PARAMETERS, value / 10), (value, value, value), value
    )


def test_the_table_joins_rows_by_driver_and_by_source():
    rows = (
        QualityRow("a", "x", 1, quality(10, 1)),
        QualityRow("b", "x", 2, quality(30, 5)),
        QualityRow("a", "y", 0, quality(10, 2)),
    )
    stages = {"track": {"p50": 3.4, "p95": 5, "p99": 6}}
    text = Benchmark({"machine": "a toaster"}, "meshwarp", 512, stages, 107.4, 330.2, rows).table()
    lines = re.sub(r" +\|", " |", text).splitlines()
    assert lines[:2] == ["machine: a toaster", "meshwarp at 512 x 512 on one thread: 107 fps, peak memory 330 MB"]
    assert "| track | 3.40 | 5.00 | 6.00 |" in lines
    assert lines[-5].startswith("| driver x | 40 | 3 | 4.00 |") and lines[-5].endswith("| 4.0/4.0/4.0 | 4.00 |")
    assert lines[-4].startswith("| driver y | 10 | 0 | 2.00 |")
    assert [line.split("|")[1].strip() for line in lines[-3:]] == ["source a", "source b", "all"]
    assert lines[-1].startswith("| all | 50 | 3 | 3.60 |")
    assert len({line.count("|") for line in lines[-7:]}) == 1  # a well-formed table


def test_memory_may_be_unknown():
    benchmark = Benchmark({}, "meshwarp", 512, {}, 107.4, None, (QualityRow("a", "x", 0, quality(1, 1)),))
    assert benchmark.table().splitlines()[0] == "meshwarp at 512 x 512 on one thread: 107 fps"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What the command says of three seconds of the scripted driver on the built-in portrait."""
    folder = tmp_path_factory.mktemp("benchmark")
    write_demo(folder / "demo.mp4", seconds=3.0, fps=25, size=256)
    words = f"benchmark --driving {folder / 'demo.mp4'} --size 256 --json {folder / 'b.json'}"
    assert run.main(words.split()) == 0
    return json.loads((folder / "b.json").read_text())


def test_every_stage_is_timed(measured):
    assert set(measured["stages_ms"]) == {"decode", "track", "motion", "animate", "total"}
    assert measured["fps"] == pytest.approx(1000 / measured["stages_ms"]["total"]["p50"])
    assert measured["peak_memory_mb"] is None or measured["peak_memory_mb"] > 50
    assert (measured["animator"], measured["size"]) == ("meshwarp", 256)


def test_the_portrait_follows_the_scripted_driver(measured):
    (row,) = measured["rows"]
    assert (row["source"], row["driving"], row["lost"], row["quality"]["frames"]) == ("astronaut", "demo", 0, 75)
    assert row["quality"]["correlations"]["eye"] > 0.8
    assert max(row["quality"]["errors"].values()) < 6 and max(row["quality"]["pose_error"]) < 4
