"""Sessions at once, the report, and the command that measures everything; with tiny networks on the CPU."""

from __future__ import annotations

import json
import re
import threading
from contextlib import closing
from dataclasses import asdict, replace

import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

import run  # noqa: E402
from pipeline.bench.known_driver import driven_portrait, driving_frames, picture_and_face  # noqa: E402
from pipeline.bench.networks import Measured  # noqa: E402
from pipeline.bench.roofline import Roofline  # noqa: E402
from pipeline.bench.stages import Batch  # noqa: E402
from pipeline.core.registry import AnimatorError  # noqa: E402
from pipeline.liveportrait.backends.registry import builder  # noqa: E402
from realtime.bench import device as device_bench  # noqa: E402
from realtime.bench.device import Candidate, DeviceEffort, candidate, effort, measure  # noqa: E402
from realtime.bench.device_report import DeviceReport  # noqa: E402
from realtime.bench.throughput import Throughput, throughput  # noqa: E402
from realtime.gpu.gpu_thread import GpuThread, Worker  # noqa: E402
from tests.support.tiny_liveportrait import tiny_animator, tiny_networks  # noqa: E402

CPU = torch.device("cpu")
TINY = Candidate(tiny_networks, builder("eager", CPU), torch.float32, CPU)
LITTLE = DeviceEffort(frames=2, pictures=2, batches=(1, 2), sessions=(1, 2))


def nothing(*_):
    pass


def unpadded(text):
    """Table lines whose cells end with one space."""
    return re.sub(r" +\|", " |", text)


def percentiles(ms):
    return {"p50": ms, "p95": ms, "p99": ms}


@pytest.fixture
def thread():
    with closing(GpuThread()) as thread:
        yield thread


@pytest.fixture
def animator(thread):
    return tiny_animator(executor=thread)


@pytest.fixture
def worker(animator, thread):
    return Worker(animator, thread)


@pytest.fixture(scope="module")
def frames():
    return list(driving_frames())


def test_every_session_has_all_its_frames_counted(animator, worker, frames, monkeypatch):
    drawn, draw = [], worker.animate

    def counted(cues, layout="rgb"):
        drawn.append((threading.get_ident(), cues[0].portrait))
        return draw(cues, layout)

    monkeypatch.setattr(worker, "animate", counted)
    portraits = [animator.portrait(*picture_and_face()) for _ in range(3)]
    puppets, threads = [driven_portrait(worker, portrait) for portrait in portraits], threading.active_count()
    found = throughput(worker, puppets, frames, rounds=4, warm=1)
    assert threading.active_count() == threads
    assert len({caller for caller, _ in drawn}) == 3
    assert sorted(portraits.index(each) for _, each in drawn) == [0] * 5 + [1] * 5 + [2] * 5
    assert found.sessions == 3 and found.fps > 0 and 0 < found.busy <= 1
    assert 0 < found.latency_ms["p50"] <= found.latency_ms["p99"]
    assert set(found.batches) == {"motion", "i420"} and all(1 <= size <= 3 for size in found.batches.values())


def test_a_session_that_fails_is_told(animator, worker, frames):
    mine = driven_portrait(worker, animator.portrait(*picture_and_face()))
    broken = [replace(frames[0], face=None), frames[0]]  # no face, no motion: at rest
    assert throughput(worker, [mine], broken, rounds=2, warm=1).fps > 0
    with pytest.raises(AttributeError):
        throughput(worker, [mine], [replace(frames[0], face="no face")], rounds=2, warm=1)


# The report

WAYS = (
    Measured("eager FP32", "slow", "fp32", None, 3.0, {n: percentiles(8.0) for n in ("M", "W", "G", "frame")}, None),
    Measured("compiled FP16", "official", "fp16", "RuntimeError: no compiler", 0.0, {}, None),
    Measured(
        "--backend x, FP16",
        "the backend x",
        "fp16",
        None,
        9.0,
        {n: percentiles(2.0) for n in ("M", "W+G", "frame")},
        51.23,
    ),
)
REPORT = DeviceReport(
    machine={"machine": "a toaster", "device": "a lamp"},
    weights="stand-in weights",
    backend="x in float16",
    frames=7,
    start_s=12.34,
    roofline=Roofline({"fp32": 50.0, "fp16": 800.0}, 3000.0),
    stages_ms={"views": percentiles(0.5), "frame": percentiles(3.0)},
    batches=(Batch(1, None, percentiles(1.5)), Batch(8, "OutOfMemoryError: too much")),
    memory_mb={"host": 900.4, "device, reserved": None},
    sessions=(Throughput(8, 412.3, percentiles(19.0), 0.97, {"motion": 3.5, "i420": 4.0}),),
    networks=WAYS,
)


def test_the_report_tells_all():
    text = unpadded(REPORT.table())
    for line in (
        "machine: a toaster",
        "LivePortrait with stand-in weights; backend x in float16; 7 rounds of each measurement",
        "first picture 12.3 s after the start (without the start of Python and its imports)",
        "peaks of this device: matrix product fp32 50, fp16 800 TFLOP/s; copy 3000 GB/s",
        "| views | 0.50 | 0.50 | 0.50 |",
        "| 1 | 1.50 | 1.50 | 1.50 | 1.50 |",
        "A batch of 8 is not available: OutOfMemoryError: too much",
        "| 8 | 412.3 | 19.00 | 19.00 | 19.00 | 97% | 3.50 | 4.00 |",
        "eager FP32: slow.",
        "compiled FP16: not available: RuntimeError: no compiler",
    ):
        assert line in text.splitlines()
    assert "host 900 MB\n" in text  # what is unknown is left out


def test_the_share_of_the_roofline_is_of_the_ways_own_numbers():
    lines = unpadded(REPORT.table()).splitlines()
    assert "| eager FP32 | W | 8.00 | 8.00 | 8.00 | 86% of 6.84 ms | | | |" in lines
    assert "| eager FP32 | frame | 8.00 | 8.00 | 8.00 | 311% of 24.91 ms | 4.00x | same | 3.0 |" in lines
    assert "| --backend x, FP16 | W+G | 2.00 | 2.00 | 2.00 | 77% of 1.54 ms | | | |" in lines
    assert "| --backend x, FP16 | frame | 2.00 | 2.00 | 2.00 | 78% of 1.56 ms | 1.00x | 51.2 | 9.0 |" in lines


def test_its_tables_are_well_formed():
    sections = REPORT.table().split("### ")[1:]
    assert len(sections) == 4
    for section in sections:
        assert len({line.count("|") for line in section.splitlines() if line.startswith("|")}) == 1


def test_ours_may_be_what_fails():
    failed = replace(REPORT, networks=(WAYS[0], WAYS[1]))
    assert "| eager FP32 | frame | 8.00 | 8.00 | 8.00 | 311% of 24.91 ms | | same | 3.0 |" in unpadded(failed.table())


def test_an_unfinished_report_can_be_told():
    early = DeviceReport({"machine": "a toaster"}, "stand-in weights", "x", 7, 1.0)
    assert "|" not in early.table() and "memory" not in early.table()


# The whole


@pytest.fixture(scope="module")
def reports():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "compile", lambda self, mode: None)  # it takes seconds
        patch.setattr("pipeline.bench.roofline.SIDES", {"cpu": 256})
        patch.setattr("pipeline.bench.roofline.COPIED", {"cpu": 1 << 20})
        steps = []
        found = list(measure(TINY, LITTLE, nothing, lambda done, total: steps.append((done, total))))
    return found, steps


def test_each_part_is_told_when_it_is_there(reports):
    found, _ = reports
    empty = [[name for name, value in asdict(report).items() if value in (None, (), {})] for report in found]
    parts = ["roofline", "batches", "memory_mb", "sessions", "networks"]
    assert empty == [parts, [parts[0], *parts[3:]], [parts[0], parts[4]], [parts[0], parts[4]], [parts[4]], []]


def test_everything_is_measured(reports):
    report = json.loads(json.dumps(asdict(reports[0][-1])))
    assert set(report["machine"]) >= {"machine", "software", "device"}
    assert report["weights"].startswith("stand-in weights") and report["backend"] == "eager in float32"
    assert (report["frames"], report["start_s"] > 0) == (2, True)
    assert list(report["stages_ms"])[-1] == "frame"
    assert [batch["size"] for batch in report["batches"]] == [1, 2]
    assert [row["sessions"] for row in report["sessions"]] == [1, 2]
    assert [way["reason"] for way in report["networks"]] == [None] * 4
    assert report["networks"][-1]["ready_s"] >= report["start_s"]


def test_progress_reaches_its_end(reports):
    _, steps = reports
    total = 2 + 3 + 2 + 2  # stages, batches, sessions, side by side
    assert steps == [(done, total) for done in range(1, total + 1)]


def test_nothing_is_left_running():
    threads = threading.active_count()
    started = measure(TINY, LITTLE, nothing, nothing)
    next(started)
    assert threading.active_count() == threads + 1  # the worker
    started.close()  # as Ctrl-C does
    assert threading.active_count() == threads


def test_what_the_command_line_asks_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    chosen = candidate("auto", "eager", "fp32", None)
    assert (chosen.device, chosen.dtype) == (CPU, torch.float32)
    with pytest.raises(AnimatorError, match="finds no CUDA device"):
        candidate("cuda", "eager", "auto", None)


def test_a_cpu_is_asked_for_less():
    assert effort(CPU, None).frames < effort(torch.device("cuda"), None).frames
    assert effort(CPU, 11) == replace(effort(CPU, None), frames=11)
    assert effort(torch.device("cuda"), None).sessions == (1, 2, 4, 8, 16)


def test_the_command_writes_json_and_a_table(tmp_path, monkeypatch, capsys):
    def measured(chosen, wanted, warming, progress):
        assert wanted.frames == 5
        yield replace(REPORT, networks=())
        yield REPORT

    monkeypatch.setattr(device_bench, "measure", measured)
    words = f"benchmark --device cpu --frames 5 --json {tmp_path / 'b.json'}"
    assert run.main(words.split()) == 0
    written = json.loads((tmp_path / "b.json").read_text())
    assert written.pop("command") == f"run.py {words}" and written.pop("date")
    assert written == json.loads(json.dumps(asdict(REPORT)))
    assert REPORT.table() in capsys.readouterr().out


def test_what_was_measured_before_an_error_is_kept(tmp_path, monkeypatch, capsys):
    def measured(*_):
        yield REPORT
        raise AnimatorError("The device is gone.")

    monkeypatch.setattr(device_bench, "measure", measured)
    assert run.main(["benchmark", "--device", "cpu", "--json", str(tmp_path / "b.json")]) == 1
    assert json.loads((tmp_path / "b.json").read_text())["frames"] == 7
    told = capsys.readouterr()
    assert REPORT.table() in told.out and told.err.endswith("The device is gone.\n")
