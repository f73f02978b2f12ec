"""The latency measurement: exact figures of made-up recordings, and real runs that must find what was put in."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import os
import threading
import time
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from pipeline.core.registry import Loaded
from realtime.bench.clock_offset import RESOLUTION, Exchange, estimate_offset
from realtime.bench.glass_to_glass import (
    STAGES,
    LatencyError,
    Measurement,
    PresentedPicture,
    Recording,
    ServerTrace,
    analyse,
    drift,
    fit_slope,
    summary,
)
from realtime.bench.latency_report import page, table
from realtime.core.frame import SEND_TICKS, SEND_WRAP, Reception, Trace
from realtime.webrtc.impairment import Impairment
from realtime.webrtc.settings import MediaSettings
from run import main as command_line
from tests.support.browser import CHROMIUM, NO_CHROMIUM
from tests.support.fakes import FACE, FakeAnimator
from tests.support.waiting import PATIENCE
from tests.support.web_app import picture_file
from web.cli.latency import DROPS, Plan, measure
from web.cli.latency_clients import choose, client, cpu_seconds
from web.core.settings import Settings
from web.services.engine import Engine
from web.services.portraits import Portraits

FPS = 30
SPENT = {"decode": 0.002, "wait": 0.001, "track": 0.003, "motion": 0.001, "animate": 0.008, "encode": 0.002}
EXPECTED = {  # ms
    "camera+encode": 4,
    "uplink": 5,
    **{stage: seconds * 1000 for stage, seconds in SPENT.items()},
    "downlink": 6,
    "jitter buffer": 1,
    "decode+present": 2,
}
UNEXPLAINED = 1.5
LATENCY = sum(EXPECTED.values()) + UNEXPLAINED
EPOCH = 1_700_000_000.25
NO_DROPS = dict.fromkeys(DROPS, 0)


def made_up(
    frames: int = 330, shift: float = 1000.0, first: int = 0, leave_out: frozenset[int] = frozenset()
) -> tuple[Recording, ServerTrace]:
    """A run in which every frame takes EXPECTED; the server's clock is the client's plus `shift`."""
    drawn = [50 + index / FPS for index in range(first + frames)]
    shown, traces = [], []
    for index in range(first, first + frames):
        if index in leave_out:
            continue
        start = drawn[index] + shift
        released = start + 0.009
        encoded = released + sum(SPENT.values())
        departed = int((EPOCH + start + 0.004) * SEND_TICKS) % SEND_WRAP
        reception = Reception(departed, released, released)
        traces.append((index % 65536, Trace(reception, released + 0.001, start, encoded, SPENT, sent=encoded + 0.001)))
        presented = drawn[index] + LATENCY / 1000
        shown.append(PresentedPicture(index % 65536, presented, encoded - shift + 0.006, 0.001, 0.002))
    exchanges = [Exchange(t, t + 0.001 + shift, t + 0.002) for t in (49.0, 60.0)]
    start = drawn[first] - 0.001
    recording = Recording("made up", 0.2, start, start + 10, drawn, shown, exchanges, {"up": 1e6, "down": 2e6})
    return recording, ServerTrace(EPOCH, traces, NO_DROPS)


def test_a_summary_is_by_nearest_rank():
    assert summary(range(1, 201)) == {"p50": 100, "p95": 190, "p99": 198, "max": 200}
    assert summary([]) == {"p50": None, "p95": None, "p99": None, "max": None}


def test_every_stage_is_found_and_the_rest_is_told():
    found = analyse(*made_up(), FPS).figures
    assert list(found["stages_ms"]) == list(STAGES) == list(EXPECTED)
    for stage, ranks in found["stages_ms"].items():
        assert list(ranks.values()) == pytest.approx([EXPECTED[stage]] * 4, abs=0.02), stage
    assert found["glass_to_glass_ms"]["p99"] == pytest.approx(LATENCY)
    assert found["unexplained_ms"]["p50"] == pytest.approx(UNEXPLAINED, abs=0.02)
    assert found["server_ms"]["p50"] == pytest.approx(sum(SPENT.values()) * 1000)
    assert found["frame_age_ms"]["max"] == pytest.approx(LATENCY + 1000 / FPS, abs=5)


def test_stages_add_up_to_the_mean():
    measured = analyse(*made_up(), FPS)
    assert sum(measured.means.values()) == pytest.approx(LATENCY)
    assert list(measured.means) == [*STAGES, "unexplained"]


@pytest.mark.parametrize("shift", [0.0, -1e6, 12345.678])
def test_the_offset_of_the_clocks_changes_nothing(shift):
    figures, expected = (analyse(*made_up(shift=by), FPS).figures for by in (shift, 1000.0))
    for stage in STAGES:
        assert figures["stages_ms"][stage]["p50"] == pytest.approx(expected["stages_ms"][stage]["p50"], abs=0.01)
    assert figures["glass_to_glass_ms"] == expected["glass_to_glass_ms"]


def test_numbers_that_begin_again_mean_the_newest_frame():
    found = analyse(*made_up(first=65_400), FPS).figures
    assert found["frames"]["seen"] == 300 and found["glass_to_glass_ms"]["max"] == pytest.approx(LATENCY)


def test_without_departures_the_way_to_the_server_is_unexplained():
    recording, served = made_up()
    blind = [
        (number, dataclasses.replace(trace, reception=dataclasses.replace(trace.reception, departed=None)))
        for number, trace in served.traces
    ]
    found = analyse(recording, dataclasses.replace(served, traces=blind), FPS).figures
    assert found["stages_ms"]["uplink"] == summary([]) == found["stages_ms"]["camera+encode"]
    assert found["unexplained_ms"]["p50"] == pytest.approx(UNEXPLAINED + 9, abs=0.02)


def test_frames_are_counted_by_what_became_of_them():
    recording, served = made_up(leave_out=frozenset({10, 11, 12, 13, 50}))
    damaged = [dataclasses.replace(shown, number=None) if shown.number == 20 else shown for shown in recording.shown]
    served = dataclasses.replace(served, drops=NO_DROPS | {next(iter(DROPS)): 2})
    found = analyse(dataclasses.replace(recording, shown=damaged), served, FPS).figures
    assert found["frames"] == {"sent": 300, "seen": 294, "lost": 1, "dropped": 5}
    assert list(found["drops"].values()) == [3, 2, 0, 0]
    assert (found["freezes"], found["fps"]) == (1, 29.4)
    assert found["longest_gap_ms"] == pytest.approx(5000 / FPS, abs=0.1)


def test_a_client_that_saw_nothing_is_a_sentence():
    recording, served = made_up()
    with pytest.raises(LatencyError, match="No picture came back"):
        analyse(dataclasses.replace(recording, shown=[]), served, FPS)
    unread = [dataclasses.replace(shown, number=None) for shown in recording.shown]
    with pytest.raises(LatencyError, match="readable in 330 pictures"):
        analyse(dataclasses.replace(recording, shown=unread), served, FPS)
    with pytest.raises(LatencyError, match="read no time code"):
        blind = dataclasses.replace(served, traces=[(None, trace) for _, trace in served.traces])
        analyse(dataclasses.replace(recording, shown=unread), blind, FPS)


def test_a_recording_is_read_from_json_and_another_is_refused():
    recording, _ = made_up()
    content = dataclasses.asdict(recording) | {
        "shown": [dataclasses.astuple(shown) for shown in recording.shown],
        "exchanges": [dataclasses.astuple(exchange) for exchange in recording.exchanges],
    }
    assert Recording.parse(json.loads(json.dumps(content))) == recording
    for wrong in ({"drawn": None}, {"shown": [[1, 2]]}, {"exchanges": []}, {"bitrate": {}}):
        with pytest.raises(LatencyError):
            Recording.parse(content | wrong)


def test_a_slope_has_the_textbooks_error():
    slope, error = fit_slope([0, 1, 2, 3], [1.0, 3.0, 4.0, 8.0])
    assert (slope, error) == pytest.approx((2.2, math.sqrt(1.8 / 2 / 5)))
    assert fit_slope([1, 2, 3], [5, 5, 5]) == pytest.approx((0, 0), abs=1e-9)
    assert fit_slope([1, 2], [5, 9]) == (0, math.inf)


def test_drift_is_per_minute_and_neighbours_count_as_one():
    times = [index / FPS for index in range(60 * FPS)]
    assert drift([(t, 20 + t / 10) for t in times]) == pytest.approx((6, 0), abs=1e-6)
    noise = np.random.default_rng(0).normal(0, 5, 60).repeat(FPS)  # the frames of a second are alike
    slope, error = drift(list(zip(times, 20 + noise, strict=True)))
    assert abs(slope) < 3 * error


def test_the_offset_is_within_its_error():
    generator = np.random.default_rng(0)
    for _ in range(50):
        out, back = generator.uniform(0.0002, 0.005, (2, 20))
        told = [Exchange(float(i), i + a + 77.7, i + a + b) for i, (a, b) in enumerate(zip(out, back, strict=True))]
        found = estimate_offset(told)
        assert abs(found.seconds - 77.7) <= found.error <= min(out + back) / 2 + RESOLUTION + 1e-9


def test_clocks_that_drift_apart_make_the_error_larger():
    steady, apart = Exchange(0, 10.001, 0.002), Exchange(60, 70.051, 60.002)
    found = estimate_offset([steady, apart])
    assert found.seconds == pytest.approx(10.0) and found.error > 0.04


class _Sources(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "rect", "line", "path", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("rect", "line", "path"):
            assert self.open.pop() == tag


def reported(measured: Measurement) -> Measurement:
    resources = {"cpu_cores": {"server": 0.5, "client": None}, "server_memory_mb": {"start": None, "end": 1.0}}
    settings = {"animator": "<fake>", "size": 512, "codec": "H264", "client_version": "x", "camera": [640, 480]}
    return dataclasses.replace(measured, figures={**measured.figures, **resources, "settings": settings})


def test_the_report_is_whole_and_needs_nothing_from_elsewhere():
    measured = reported(analyse(*made_up(), FPS))
    document = page(measured)
    parser = _Sources()
    parser.feed(document)
    assert parser.found == [] and parser.open == []
    assert "http" not in document.replace("over HTTP", "") and "<script" not in document and "<fake>" not in document
    assert all(stage in document and stage in table(measured) for stage in STAGES)
    assert document.count("h0") == 300  # a dot for each frame


# Real runs: the server, a session, and the client in a process of its own.


class Steady:
    """A tracker that always holds the same face."""

    faces = 1

    def track(self, picture, time, smoothing=0.5):
        return FACE


def pictures() -> list[str]:
    there = np.add.outer(np.arange(480), np.arange(640)) // 5 % 256
    coded = [cv2.imencode(".jpg", np.roll(there, 9 * step, 1).astype(np.uint8))[1] for step in range(4)]
    return [base64.b64encode(jpeg.tobytes()).decode() for jpeg in coded]


def run(plan: Plan, pause: float = 0.0, bad: Impairment | None = None) -> Measurement:
    """Measure an animator that costs `pause` seconds a picture and nothing else."""
    nobody = threading.Event()

    def work(cue):
        if cue.motion is not None:
            nobody.wait(pause)

    animator = FakeAnimator(work)
    engine = Engine(Loaded(animator, "a test", "cpu"), Steady, Portraits(animator, {"gray": picture_file(90)}))
    settings = Settings(port=0, media=MediaSettings(strict=True, impairment=bad))
    return measure(plan, settings, engine, pictures(), lambda done, total: None)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setattr("web.cli.latency.PATIENCE_SECONDS", 2 * PATIENCE)


QUICK = Plan("python", seconds=3, warm_up=0.5)


def test_a_delay_of_300_ms_is_found_in_the_animator():
    found = run(dataclasses.replace(QUICK, fps=2), pause=0.3)
    figures, latency = found.figures, found.figures["glass_to_glass_ms"]["p50"]
    assert 300 <= figures["stages_ms"]["animate"]["p50"] <= latency
    assert abs(figures["unexplained_ms"]["p50"]) < latency / 2
    assert sum(found.means.values()) == pytest.approx(np.mean([latency for _, latency in found.latencies]), rel=0.1)
    assert figures["clock_error_ms"] < latency
    json.dumps(figures)
    assert page(found) and table(found)


def test_overload_drops_frames_and_latency_does_not_grow():
    found = run(dataclasses.replace(QUICK, codec="VP8"), pause=0.25).figures
    interval = 1000 / found["fps"]
    assert interval >= 250
    assert found["glass_to_glass_ms"]["p50"] < 4 * interval
    assert found["slope_ms_per_minute"] * 3 / 60 < 2 * interval  # over the run, less than two pictures
    assert found["drops"]["server: a newer one came"] > found["frames"]["seen"] / 2
    counts = found["frames"]
    assert counts["sent"] == counts["seen"] + counts["lost"] + counts["dropped"]


def test_a_bad_network_is_felt_where_it_is_and_stays_bounded():
    round_trip = 160.0
    found = run(QUICK, bad=Impairment(0.02, round_trip / 1000, 0.005)).figures
    stages = found["stages_ms"]
    on_the_way = stages["uplink"]["p50"] + stages["downlink"]["p50"]
    assert on_the_way > round_trip - 10 - 2 * found["clock_error_ms"]  # the jitter
    assert stages["animate"]["p50"] < on_the_way < found["glass_to_glass_ms"]["p50"]
    assert found["frames"]["seen"] > 0 and found["frames"]["lost"] < found["frames"]["sent"] / 2
    assert found["settings"]["loss_percent"] == 2 and found["settings"]["delay_ms"] == round_trip


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
def test_a_browser_measures_the_same():
    found = run(dataclasses.replace(QUICK, client="browser", fps=10), pause=0.05).figures
    latency = found["glass_to_glass_ms"]["p50"]
    assert 50 <= found["stages_ms"]["animate"]["p50"] < latency
    assert all(found["stages_ms"][stage]["p50"] is not None for stage in STAGES)
    assert abs(found["unexplained_ms"]["p50"]) < latency / 2
    assert found["frames"]["seen"] > 0
    assert "Chrom" in found["settings"]["client_version"]


def test_a_missing_browser_is_a_sentence_and_python_takes_its_place(monkeypatch):
    monkeypatch.setattr("web.cli.latency_clients.BROWSERS", ())
    assert choose(None) == ("python", "there is no Chromium") and choose("browser")[0] == "browser"
    with pytest.raises(LatencyError, match="apt-get install chromium"), client("browser", "http://127.0.0.1:1"):
        pass


def test_a_client_that_fails_is_told_at_once():
    early = pytest.raises(LatencyError, match=r"The client ended early \(exit code 1\): .*refused")
    with early, client("python", "http://127.0.0.1:1") as running:
        while True:
            running.check()
            threading.Event().wait(0.05)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--loss 150", "Loss must be 0 to below 100 %, not 150 %."),
        ("--delay -1", "Delay and jitter must be"),
        ("--report missing/report.html", "the folder for --report does not exist"),
    ],
)
def test_what_cannot_be_measured_is_said_at_once(words, sentence, capsys):
    assert command_line(["latency", "--client", "python", *words.split()]) == 1
    assert sentence in capsys.readouterr().err


def test_cpu_time_is_of_this_process_and_its_children():
    assert cpu_seconds(os.getpid()) >= time.process_time() - 2
