"""`run.py compare`, with networks so small that a frame takes milliseconds and a clock that only the backend moves."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

import run  # noqa: E402
from pipeline import load_liveportrait  # noqa: E402
from pipeline.bench.compare import inputs as compare_inputs  # noqa: E402
from pipeline.bench.compare import runner  # noqa: E402
from pipeline.bench.compare.compare import RequestedRow, compare, requested_rows  # noqa: E402
from pipeline.bench.compare.figures import Judge  # noqa: E402
from pipeline.bench.compare.footage import Clip, Cursor, KnownFootage  # noqa: E402
from pipeline.bench.compare.inputs import CompareError, Inputs  # noqa: E402
from pipeline.bench.compare.optimizations import ROWS, Optimization  # noqa: E402
from pipeline.bench.compare.report_html import page  # noqa: E402
from pipeline.bench.compare.report_text import table  # noqa: E402
from pipeline.bench.compare.runner import PeakMemory, Runner, Shot  # noqa: E402
from pipeline.bench.compare.setup import ORIGINAL, Setup, served  # noqa: E402
from pipeline.bench.compare.turns import Bench, Effort, Trial  # noqa: E402
from pipeline.bench.known_driver import driving_frames, picture_and_face  # noqa: E402
from pipeline.liveportrait import checkpoint  # noqa: E402
from pipeline.models.liveportrait_hub import HUMAN  # noqa: E402
from tests.support.clips import write_clip  # noqa: E402
from tests.support.tiny_liveportrait import tiny_networks  # noqa: E402
from web.cli import compare as command  # noqa: E402
from web.core.settings import Settings  # noqa: E402

CPU = torch.device("cpu")
EFFORT = Effort(frames=2, together=2)
OPTIMIZED = Setup(backend="eager", precision="bf16", folded=True, inference=True, streams=True, caches_source=True)
SLOW, DISTORTED, BROKEN = "slow", "distorted", "broken"
FIGURES = {
    *("ms_p50", "ms_p95", "speedup", "memory_mb"),
    *("psnr_db", "ssim", "keypoint_error", "landmark_error"),
}


def nothing(*_):
    pass


class Clock:
    """Stands still until somebody works."""

    now = 0.0

    def __call__(self):
        return self.now


class Worked:
    """A backend whose calls are counted and take the clock's time; one with a thread alone is slow, and so on."""

    def __init__(self, backend, setup, clock, calls):
        self.inside, self.setup, self.clock, self.calls = backend, setup, clock, calls
        self.name, self.device, self.dtype = backend.name, backend.device, backend.dtype
        self.prepare_source, self.warm_up = backend.prepare_source, backend.warm_up

    def appearance(self, picture):
        self.calls["appearance"] += 1
        return self.inside.appearance(picture)

    def motion(self, pictures):
        self.calls["motion"] += 1
        return self.inside.motion(pictures)

    def draw(self, sources, driven):
        self.calls["draw"] += 1
        self.clock.now += (0.25 if self.setup.threads == 1 else 0.1) * len(sources)
        if self.setup.tf32:
            raise ArithmeticError("no such numbers\nand more of it")
        return self.inside.draw(sources, driven) + (0.1 if self.setup.channels_last else 0)


class SmallInputs(Inputs):
    """With tiny networks."""

    def backend(self, setup, networks, dtype):
        return Worked(super().backend(setup, networks, dtype), setup, *WORK)


WORK = [Clock(), Counter()]


FOOTAGE = KnownFootage()


def small_inputs():
    picture, face = picture_and_face()
    return SmallInputs(
        device=CPU,
        load=lambda folded: tiny_networks(),
        portrait=picture,
        face=face,
        footage=FOOTAGE,
        find_face=lambda crop: None,
        weights="tiny weights",
        disk=(200_000_000, 100_000_000),
    )


@pytest.fixture
def inputs(monkeypatch):
    WORK[:] = [Clock(), Counter()]
    monkeypatch.setattr(runner.time, "perf_counter", WORK[0])
    return small_inputs()


def rows():
    return [
        RequestedRow(Optimization(SLOW, "Slow", "It is slow.", {"threads": 1})),
        RequestedRow(Optimization(DISTORTED, "Distorted", "It is ugly.", {"channels_last": True}, "nicer")),
        RequestedRow(Optimization(BROKEN, "Broken", "It breaks.", {"tf32": True})),
        RequestedRow(Optimization("cached", "Cached", "Kept.", {"caches_source": True})),
        RequestedRow(Optimization("absent", "Absent", "Not here."), "It needs a moon."),
    ]


SAID = []


@pytest.fixture(scope="module")
def found():
    WORK[:] = [Clock(), Counter()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.time, "perf_counter", WORK[0])
        return compare(small_inputs(), OPTIMIZED, rows(), EFFORT, "run.py compare", lambda *step: SAID.append(step))


def row(found, name):
    return next(each for each in found.ablation if each.name == name)


def test_figures_come_from_what_was_measured(found):
    slow, distorted = row(found, SLOW), row(found, DISTORTED)
    assert (slow.alone.ms_p50, slow.alone.ms_p95, slow.alone.speedup) == (250, 250, 0.4)
    assert slow.alone.psnr_db is None and slow.alone.ssim == 1 and slow.alone.keypoint_error == 0
    assert distorted.alone.ms_p50 == 100 and distorted.alone.speedup == 1
    assert distorted.alone.psnr_db == pytest.approx(20, abs=0.2) and distorted.alone.ssim < 1


def test_what_is_part_of_the_optimized_is_taken_out_of_it(found):
    cached = row(found, "cached")
    assert cached.without.ms_p50 == 100 and cached.without.speedup == 1
    assert row(found, SLOW).without.ms_p50 is None and "it cannot be left out" in row(found, SLOW).reason


def test_a_row_that_fails_does_not_lose_the_others(found):
    broken, absent = row(found, BROKEN), row(found, "absent")
    assert (broken.status, broken.reason) == ("unavailable", "ArithmeticError: no such numbers")
    assert (absent.status, absent.reason) == ("unavailable", "It needs a moon.")
    assert [each.status for each in found.ablation].count("measured") == 3
    assert set(asdict(broken.alone).values()) == {None}


def test_the_headline(found):
    lines = {metric.metric: metric for metric in found.headline}
    time, fps = lines["processing time per frame, p50 (ms)"], lines["frames per second"]
    assert (time.original, time.optimized, time.improvement) == (100, 100, 0)
    assert (fps.original, fps.improvement) == (10, 0)
    disk = lines["model size on disk (MB)"]
    assert (disk.original, disk.optimized, disk.improvement) == (200, 100, 50)
    assert lines["peak memory, device (MB)"].original is None
    assert set(lines) >= {"processing time per frame, p95 (ms)", "peak memory, host (MB)", "time to first frame (s)"}


def test_without_the_optimized_the_rows_are_still_measured(inputs):
    found = compare(inputs, replace(OPTIMIZED, tf32=True), rows()[:1], Effort(1, 1), "", nothing)
    assert found.headline[0].original == 100 and found.headline[0].optimized is None
    assert row(found, SLOW).alone.speedup == 0.4
    assert found.notes[0] == "The optimized settings cannot be measured: ArithmeticError: no such numbers"


def test_without_the_original_there_is_nothing_to_compare(inputs):
    with pytest.raises(CompareError, match="original cannot be measured: ValueError: gone"):
        compare(replace(inputs, load=raising(ValueError("gone"))), OPTIMIZED, rows(), EFFORT, "", nothing)


def raising(error):
    def function(*_):
        raise error

    return function


def test_json_has_the_agreed_keys_and_can_be_written(found):
    content = found.as_json()
    assert set(content) == {"machine", "weights", "command", "headline", "ablation"}
    assert set(content["headline"][0]) == {"metric", "original", "optimized", "improvement"}
    for each in content["ablation"]:
        assert set(each) == {"name", "status", "reason", "alone", "without"}
        assert set(each["alone"]) == set(each["without"]) == FIGURES
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_the_page_has_all_in_it_and_fetches_nothing(found):
    html = page(found)
    assert "http" not in html and not re.search(r'(?:src|href)="(?!data:image/jpeg;base64,|#)', html)
    assert all(f'<article id="{each.name}">' in html for each in found.ablation)
    assert html.count("<img") == 6 and html.count("<svg") == 1 and html.count("class='quiet'") == 0
    assert "It needs a moon." in html and "0.40x as fast" in html
    assert len(re.findall("<tr>", html)) == 1 + len(found.headline) + 2 + len(found.ablation)


def test_the_table_says_all(found):
    text = table(found)
    assert text.splitlines()[0] == "LivePortrait with tiny weights"
    slow = next(line for line in text.splitlines() if line.startswith(f"| {SLOW} "))
    assert [cell.strip() for cell in slow.split("|")[2:4]] == ["250", "0.40x"] and "same" in slow
    assert "absent: It needs a moon." in text and "LPIPS is not measured" in text


def test_every_row_of_the_table_can_be_shown():
    from pipeline.bench.compare.figures import Ablation, Comparison, Metric

    every = [Ablation(each.name, "unavailable", "Not now.") for each in ROWS]
    html = page(Comparison({}, "weights", "run.py", [Metric("t", 1, None, None)], every))
    assert html.count("<article") == len(ROWS) and html.count("Not measured here. Not now.") == len(ROWS)


def test_progress_ends_at_its_total_and_says_what_runs(found):
    assert SAID[-1][0] == SAID[-1][1] and [done for done, *_ in SAID] == sorted(done for done, *_ in SAID)
    names = [name for _, _, name in SAID]
    assert names.index(SLOW) < names.index("cached") < names.index("without cached")


def shots(*levels):
    return {n: Shot(np.zeros((21, 3), np.float32), np.full((16, 16, 3), v, np.uint8)) for n, v in enumerate(levels)}


def test_percentiles_and_means(inputs):
    judge = Judge(inputs, Trial(shots=shots(0, 0)))
    trial = Trial(
        ms=[float(n) for n in range(1, 102)], beside=[102.0] * 101, shots=shots(1, 0), memory=PeakMemory(12.34, 5)
    )
    trial.shots[1].keypoints[:] = 0.5
    figures = judge.figures(trial)
    assert (figures.ms_p50, figures.ms_p95, figures.speedup) == (51, 96, 2)
    assert figures.psnr_db == pytest.approx(51.14, abs=0.01)  # half of the pixels are one level off
    assert (figures.keypoint_error, figures.memory_mb, figures.landmark_error) == (0.25, 12.3, None)


# Which rows


def test_rows_have_names_of_their_own_and_a_setup_of_their_own():
    names = [each.name for each in ROWS]
    assert len(set(names)) == len(names)
    setups = [each.added() for each in ROWS if each.name != "control"]
    assert len(set(setups)) == len(setups) and ORIGINAL not in setups
    assert all(each.about.endswith(".") and each.title for each in ROWS)


def test_rows_that_are_not_measured_say_why():
    reasons = {each.row.name: each.reason for each in requested_rows(ROWS, CPU, [], quick=True)}
    assert reasons["tf32"] == "It needs a CUDA device; none was found."
    assert reasons["batch-8"] == "Left out by --quick." and reasons["streaming"] is None
    on_cuda = {each.row.name: each.reason for each in requested_rows(ROWS, torch.device("cuda"), [], quick=False)}
    assert on_cuda["tf32"] is None and "CPU" in on_cuda["threads-1"]
    assert [each.row.name for each in requested_rows(ROWS, CPU, ["batch-8"], quick=True)] == ["batch-8"]
    with pytest.raises(CompareError, match=r"There is no row 'magic'. Choose from control, "):
        requested_rows(ROWS, CPU, ["magic"], quick=False)


def test_what_is_removed_is_what_was_used():
    by_name = {each.name: each for each in ROWS}
    optimized = replace(served(CPU, "compiled", "bf16"))
    assert by_name["precision-bf16"].removed(optimized) == replace(optimized, precision="fp32")
    assert by_name["exact"].removed(optimized) == replace(optimized, backend="plain")
    assert by_name["caching-source"].removed(optimized) == replace(optimized, caches_source=False)
    assert by_name["inference-mode"].removed(optimized) is None  # the backend has it built in
    assert by_name["batch-4"].removed(optimized) is None
    assert by_name["folding"].removed(replace(ORIGINAL, folded=True)) == ORIGINAL


def test_a_setup_tells_what_it_changes():
    assert str(ORIGINAL) == "nothing changed"
    assert str(replace(ORIGINAL, precision="bf16", streams=True)) == "precision bf16, streams"


# One way of running


def ran(inputs, setup, numbers=(3, 5)):
    """What was called in these steps, after the first frame, and the last shot."""
    made = Runner(setup, inputs)
    WORK[1].clear()
    for number in numbers:
        made.step(number)
    shot, calls = made.shot(), dict(WORK[1])
    made.close()
    return shot, calls


def test_the_original_looks_at_the_portrait_with_every_frame(inputs):
    assert ran(inputs, ORIGINAL)[1] == {"appearance": 2, "motion": 4, "draw": 2}
    assert ran(inputs, replace(ORIGINAL, caches_source=True))[1] == {"motion": 2, "draw": 2}


def test_a_batch_is_one_call(inputs):
    assert ran(inputs, replace(ORIGINAL, batch=4, caches_source=True))[1] == {"motion": 2, "draw": 2}


def test_a_still_driver_is_drawn_once(inputs):
    assert ran(inputs, replace(ORIGINAL, reuses_motion=True, caches_source=True))[1] == {"motion": 2, "draw": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"batch": 2},
        {"overlaps": True},
        {"streams": True},
        {"reuses_motion": True},
        {"inference": True},
        {"keeps_memory": True},
        {"empties_cache": True},
        {"graphs": True},
    ],
    ids=str,
)
def test_what_may_not_change_the_picture_does_not(inputs, change):
    reference, _ = ran(inputs, ORIGINAL, [4])
    shot, _ = ran(inputs, replace(ORIGINAL, **change), [4])
    assert np.abs(shot.crop.astype(float) - reference.crop).max() <= 1
    assert np.abs(shot.keypoints - reference.keypoints).max() < 1e-5


def test_one_thread_is_taken_back(inputs):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    with replace(ORIGINAL, threads=1).applied():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)


def test_numbers_that_hold_no_picture_are_told(inputs):
    broken = replace(inputs, load=lambda folded: tiny_networks(broken=[torch.bfloat16]))
    with pytest.raises(ArithmeticError, match="bf16 gives pictures of NaN"):
        Runner(replace(ORIGINAL, precision="bf16"), broken)


def test_loading_is_part_of_every_frame(inputs, monkeypatch):
    class Late(KnownFootage):
        def frames(self, reduced):
            WORK[0].now += 3.2
            return super().frames(reduced)

    late = replace(inputs, footage=Late())
    loaded, streamed = Runner(ORIGINAL, late), Runner(replace(ORIGINAL, streams=True), late)
    assert loaded.step(0) == pytest.approx(0.1 + 3.2 / 32)
    assert streamed.step(0) == pytest.approx(0.1)  # it went back to the first frame before the step


def test_what_a_frame_needs_is_weighed(inputs):
    class Hungry(KnownFootage):
        def frames(self, reduced):
            for frame in super().frames(reduced):
                yield replace(frame, picture=np.concatenate([frame.picture] * 4))

    hungry = Runner(ORIGINAL, replace(inputs, footage=Hungry()))
    hungry.weighed_step(1)
    if hungry.memory.host is None:
        pytest.skip("the system does not tell")
    assert hungry.memory.host > 32 * 3.6  # MB: 32 frames of 640 x 480 x 3 x 4 bytes are held
    assert hungry.memory.device is None


# The driver


@pytest.fixture(scope="module")
def clip(models, tmp_path_factory):
    pytest.importorskip("av")
    path = tmp_path_factory.mktemp("compare") / "driver.mp4"
    return Clip(write_clip(path, [frame.picture for frame in driving_frames()][:12]), models)


def test_a_clip_is_read_and_tracked(clip):
    assert clip.count == 12 and clip.about.startswith("driver.mp4, 12 frames of 640 x 480")
    cursor = Cursor(clip, streams=True)
    cursor.seek(5)
    sixth = cursor.read()
    cursor.seek(2)
    cursor.seek(5)
    again = cursor.read()
    assert sixth.face is not None and (sixth.face.landmarks == again.face.landmarks).all()
    assert sixth.time == pytest.approx(5 / 25)
    loaded = Cursor(clip, streams=False)
    loaded.seek(5)
    assert (loaded.read().picture == sixth.picture).all()


def test_a_large_video_is_cut_and_reduced(models, tmp_path, monkeypatch):
    pytest.importorskip("av")
    monkeypatch.setattr("pipeline.bench.compare.footage.MOST_BYTES", 3 * 1600 * 900 * 3)
    clip = Clip(write_clip(tmp_path / "large.mp4", [np.zeros((900, 1600, 3), np.uint8)] * 5), models)
    assert clip.count == 3
    assert next(iter(clip.frames(reduced=True))).picture.shape == (720, 1280, 3)


def test_what_is_drawn_of_a_clip_is_encoded(clip):
    with clip.recording() as write:
        for _ in range(3):
            write(np.zeros((64, 64, 3), np.uint8))


# The command


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder with all files, which become the tiny networks."""
    monkeypatch.setenv("PUPPET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(load_liveportrait, "load_networks", lambda folder, cache: tiny_networks())
    monkeypatch.setattr(compare_inputs, "load_from", lambda folder, cache, folded: tiny_networks())
    for file in HUMAN.files:
        (tmp_path / f"{file.name}.safetensors").write_bytes(b"1234")
    folded = checkpoint.folded_file(tmp_path / "warping_module.safetensors", "0" * 64, tmp_path / "cache")
    folded.parent.mkdir()
    folded.write_bytes(b"12")
    return tmp_path


def test_the_command(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "sees_videos", lambda: False)
    monkeypatch.setattr(Settings, "backend", "eager")
    words = f"compare --device cpu --weights {weights} --only control streaming tf32 --frames 1 "
    words += f"--json {tmp_path / 'c.json'} --report {tmp_path / 'c.html'}"
    assert run.main(words.split()) == 0
    out, err = capsys.readouterr()
    assert err.startswith("LivePortrait with stand-in weights: 1 of 1 files are not the official, on cpu\n")
    assert out.startswith("LivePortrait with stand-in weights") and "tf32: It needs a CUDA device" in out
    content = json.loads((tmp_path / "c.json").read_text())
    assert content["command"] == "run.py " + words
    assert [each["status"] for each in content["ablation"]] == ["measured", "measured", "unavailable"]
    assert content["headline"][-1]["original"] == 0  # of four bytes
    assert (tmp_path / "c.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--only magic", "There is no row 'magic'"),
        ("--weights nowhere", "run `python run.py weights fetch liveportrait`"),
        ("--source none.jpg --weights WEIGHTS", "none.jpg cannot be read"),
        ("--driving none.mp4 --weights WEIGHTS", "There is no file none.mp4"),
    ],
)
def test_the_command_says_what_is_wrong(weights, words, sentence, capsys):
    assert run.main(["compare", "--device", "cpu", *words.replace("WEIGHTS", str(weights)).split()]) == 1
    assert sentence in capsys.readouterr().err


def test_files_need_the_packages_that_read_them(weights, monkeypatch, capsys):
    for module in (command, compare_inputs):
        monkeypatch.setattr(module, "sees_videos", lambda: False)
    assert run.main(["compare", "--weights", str(weights), "--driving", "d.mp4"]) == 1
    assert "--source and --driving need the packages av and ai_edge_litert" in capsys.readouterr().err


def test_the_bench_spreads_its_frames(inputs):
    numbers = Bench(inputs, Effort(frames=3, together=2), nothing)._numbers
    assert len(set(numbers)) == 3 and max(numbers) + 8 < inputs.footage.count
