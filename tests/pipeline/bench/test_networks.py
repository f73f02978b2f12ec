"""Side by side, in stages and in batches: the figures come from measurement, and what fails does not lose the rest."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from pipeline.bench.known_driver import driven_portrait, driving_frames, picture_and_face  # noqa: E402
from pipeline.bench.networks import (  # noqa: E402
    Baseline,
    NetworkInputs,
    baselines,
    in_short,
    network_inputs,
    our_backend,
    side_by_side,
)
from pipeline.bench.stages import batches, memory_mb, stages, warm_rounds  # noqa: E402
from pipeline.liveportrait.animator import LivePortrait  # noqa: E402
from pipeline.liveportrait.backends.eager import Eager  # noqa: E402
from pipeline.liveportrait.backends.registry import builder  # noqa: E402
from pipeline.load_liveportrait import assemble  # noqa: E402
from tests.support.tiny_liveportrait import tiny_animator, tiny_networks  # noqa: E402

CPU = torch.device("cpu")
SCENE = NetworkInputs(torch.zeros(1), torch.zeros(1), (torch.zeros(1),) * 2, (torch.zeros(1),) * 2)


def nothing():
    pass


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [0.0]
    monkeypatch.setattr("pipeline.bench.device_timer.time.perf_counter", lambda: now[0])
    return now


def baseline(name, clock, seconds, level=0.5, make=lambda: None):
    """One whose networks take `seconds` each, and whose pictures are of one brightness."""

    def draw(inputs, frame, mark):
        for network in ("M", "W", "G"):
            clock[0] += seconds
            mark(network)
        return torch.full((1, 3, 4, 4), level)

    return Baseline(name, "made up", "fp32", lambda: (make(), draw)[1])


def percentiles(ms):
    return {"p50": ms, "p95": ms, "p99": ms}


def test_each_network_and_the_frame_are_timed(clock):
    slow, fast = side_by_side([baseline("slow", clock, 0.4), baseline("fast", clock, 0.1)], SCENE, CPU, 3, nothing)
    assert fast.ms == dict.fromkeys("MWG", percentiles(100.0)) | {"frame": percentiles(300.0)}
    assert slow.ms["frame"] == percentiles(1200.0)
    assert slow.ready_s == 1.2 and fast.ready_s == 0.3  # the first picture, not the second


def test_percentiles_are_over_all_rounds(clock):
    seconds = iter([9.0, 9.0, *(number / 1000 for number in range(1, 102))])  # the first two are not measured

    def draw(inputs, frame, mark):
        clock[0] += next(seconds)
        mark("G")
        return torch.zeros(1, 3, 4, 4)

    [found] = side_by_side([Baseline("a", "", "fp32", lambda: draw)], SCENE, CPU, 101, nothing)
    assert found.ms["frame"] == {"p50": 51.0, "p95": 96.0, "p99": 100.0}


def test_they_take_turns(clock):
    calls = []

    def named(name):
        def draw(inputs, frame, mark):
            calls.append((name, frame))
            mark("G")
            return torch.zeros(1, 3, 4, 4)

        return Baseline(name, "", "fp32", lambda: draw)

    rounds = []
    side_by_side([named("a"), named("b")], SCENE, CPU, 3, lambda: rounds.append(len(calls)))
    assert calls[:4] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]  # each frame's picture
    assert calls[4:] == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 0), ("b", 0)]
    assert rounds == [6, 8, 10]


def test_quality_is_against_the_first(clock):
    found = side_by_side(
        [baseline("a", clock, 1), baseline("b", clock, 1, 0.51), baseline("c", clock, 1, 1.6)], SCENE, CPU, 1, nothing
    )
    assert [way.psnr_db for way in found] == [None, 40.0, 6.02]  # beyond white is white


def test_one_that_fails_says_why_and_the_others_go_on(clock):
    def broken():
        raise RuntimeError("no compiler here\nand much more")

    def nan(inputs, frame, mark):
        return torch.full((1, 3, 4, 4), torch.nan)

    def tires(inputs, frame, mark):
        clock[0] += 1.0
        if clock[0] > 4:
            raise MemoryError
        return torch.zeros(1, 3, 4, 4)

    rest = [Baseline("nan", "", "fp16", lambda: nan), Baseline("tires", "", "fp16", lambda: tires)]
    found = side_by_side(
        [baseline("a", clock, 0.1), baseline("b", clock, 0.1, make=broken), *rest], SCENE, CPU, 3, nothing
    )
    assert [way.reason for way in found] == [
        None,
        "RuntimeError: no compiler here",
        "ArithmeticError: some of the pixels are not numbers",
        "MemoryError",
    ]
    assert [bool(way.ms) for way in found] == [True, False, False, False]


def test_without_the_reference_nothing_can_be_said(clock):
    with pytest.raises(ZeroDivisionError):
        side_by_side([baseline("a", clock, 1, make=lambda: 1 / 0)], SCENE, CPU, 1, nothing)


def test_an_error_in_a_line():
    assert in_short(ValueError("  one\ntwo")) == "ValueError: one"
    assert in_short(KeyError()) == "KeyError"


# With networks


@pytest.fixture(scope="module")
def animator():
    return tiny_animator()


@pytest.fixture(scope="module")
def mine(animator):
    return driven_portrait(animator, animator.portrait(*picture_and_face()))


@pytest.fixture(scope="module")
def frames():
    return list(driving_frames())


@pytest.fixture(scope="module")
def inputs(animator, mine, frames):
    return network_inputs(animator, mine, frames[::8])


def quick():
    return Eager(tiny_networks(), CPU, torch.float32)


class Slow(Eager):
    """A backend whose drawing takes a second more, by a clock that else stands still."""

    def __init__(self, clock):
        super().__init__(tiny_networks(), CPU, torch.float32)
        self._clock = clock

    def draw(self, sources, driven):
        self._clock[0] += 1.0
        return super().draw(sources, driven)


def test_the_networks_get_what_the_frames_show(inputs):
    assert [tuple(each.shape) for each in inputs.driving] == [(1, 3, 256, 256)] * 4
    assert [tuple(each.shape) for each in inputs.driven] == [(1, 21, 3)] * 4
    assert tuple(inputs.source.shape) == (1, 21, 3)
    assert not torch.equal(inputs.driven[0], inputs.driven[1])


def test_all_ways_run_and_draw_the_same(inputs, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: None)  # it takes seconds
    everyone = [*baselines(tiny_networks, CPU), our_backend(quick(), 7.0)]
    found = side_by_side(everyone, inputs, CPU, 2, nothing)
    assert [way.name for way in found] == ["eager FP32", "autocast BF16", "compiled BF16", "--backend eager, FP32"]
    assert [way.reason for way in found] == [None] * 4
    assert [list(way.ms) for way in found] == [["M", "W", "G", "frame"]] * 3 + [["M", "W+G", "frame"]]
    assert all(way.psnr_db is None or way.psnr_db > 40 for way in found)
    assert found[-1].ready_s >= 7.0


def test_on_cuda_half_is_fp16_and_pytorchs_own_tf32_is_told_apart():
    assert [way.kind for way in baselines(tiny_networks, torch.device("cuda"))] == ["fp32", "tf32", "fp16", "fp16"]


def test_a_slowed_backend_shows_slower(inputs, clock):
    fast, slow = side_by_side([our_backend(each, 0.0) for each in (quick(), Slow(clock))], inputs, CPU, 3, nothing)
    assert fast.ms["W+G"] == fast.ms["frame"] == percentiles(0.0)
    assert slow.ms["W+G"] == slow.ms["frame"] == percentiles(1000.0)
    assert slow.psnr_db is None  # the same pictures


def test_a_backends_source_is_made_once(inputs):
    backend = quick()
    made = []
    backend.prepare_source = lambda *given: made.append(given) or Eager.prepare_source(backend, *given)
    side_by_side([our_backend(backend, 0.0)], inputs, CPU, 3, nothing)
    assert len(made) == 1


def test_stages_are_those_of_the_real_path(animator, mine, frames):
    found = stages(animator, mine, frames, 3, nothing)
    assert list(found) == ["views", "motion", "numbers", "compose", "draw", "pictures", "frame"]
    assert all(0 < times["p50"] <= times["p99"] for times in found.values())


def test_a_slowed_stage_shows_slower(animator, mine, frames, clock):
    slowed = LivePortrait(None, animator.correctors, Slow(clock), animator.pixels)
    found = stages(slowed, mine, frames, 2, nothing)
    assert found["draw"] == found["frame"] == percentiles(1000.0)
    assert found["motion"] == found["pictures"] == percentiles(0.0)


def test_batches_are_of_different_portraits(inputs):
    class RecordingBackend(Eager):
        def draw(self, sources, driven):
            calls.append((len(set(map(id, sources))), len(driven)))
            return super().draw(sources, driven)

    calls = []
    found = batches(RecordingBackend(tiny_networks(), CPU, torch.float32), inputs, (1, 2, 8), 2, nothing)
    assert calls == [(1, 1), (2, 2), (8, 8)] * (warm_rounds(2) + 2)
    assert [batch.size for batch in found] == [1, 2, 8] and all(batch.ms["p50"] > 0 for batch in found)


def test_a_batch_that_fails_says_why(inputs):
    class SmallBackend(Eager):
        def draw(self, sources, driven):
            if len(sources) > 2:
                raise torch.OutOfMemoryError("too much was asked for")
            return super().draw(sources, driven)

    one, four = batches(SmallBackend(tiny_networks(), CPU, torch.float32), inputs, (1, 4), 2, nothing)
    assert one.reason is None and one.ms
    assert (four.reason, four.ms) == ("OutOfMemoryError: too much was asked for", {})


def test_warm_rounds_are_few():
    assert [warm_rounds(rounds) for rounds in (1, 9, 10, 300)] == [1, 1, 2, 31]


def test_memory_of_the_host_is_told():
    found = memory_mb(CPU)
    assert list(found) == ["host"] and (found["host"] is None or found["host"] > 50)


@pytest.mark.gpu
def test_on_a_gpu_all_ways_run(stand_in_networks):
    device = torch.device("cuda")

    def load():
        return copy.deepcopy(stand_in_networks)

    animator = assemble(None, load(), builder("eager", device), torch.float16)
    mine = driven_portrait(animator, animator.portrait(*picture_and_face()))
    inputs = network_inputs(animator, mine, list(driving_frames())[::16])
    everyone = [way for way in baselines(load, device) if not way.name.startswith("compiled")]  # that takes minutes
    found = side_by_side([*everyone, our_backend(animator.backend, 0.0)], inputs, device, 5, nothing)
    assert [way.reason for way in found] == [None] * 4
    assert found[-1].psnr_db > 40
    assert list(memory_mb(device)) == ["host", "device, allocated", "device, reserved"]
