from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from pipeline.bench import roofline  # noqa: E402
from pipeline.bench.roofline import WORK, Roofline, measure_roofline, tf32  # noqa: E402
from pipeline.liveportrait.networks.generator import SpadeGenerator  # noqa: E402
from pipeline.liveportrait.networks.layers import fold  # noqa: E402
from pipeline.liveportrait.networks.motion_extractor import MotionExtractor  # noqa: E402
from pipeline.liveportrait.networks.warping import WarpingNetwork  # noqa: E402

CPU = torch.device("cpu")
INPUTS = {
    "M": (MotionExtractor, [(1, 3, 256, 256)]),
    "W": (WarpingNetwork, [(1, 32, 16, 64, 64), (1, 21, 3), (1, 21, 3)]),
    "G": (SpadeGenerator, [(1, 256, 64, 64)]),
}


@pytest.mark.parametrize("name", WORK)
def test_the_networks_ask_for_so_many_operations(name):
    build, shapes = INPUTS[name]
    with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        fold(build())(*(torch.zeros(shape) for shape in shapes))
    assert counter.get_total_flops() / 2e9 == pytest.approx(WORK[name].gmac, abs=0.006)


def test_the_floor_is_set_by_what_takes_longer():
    found = Roofline({"fp16": 800.0, "fp32": 50.0}, copy_gbs=3000.0)
    assert found.floor_ms("G", "fp16") == pytest.approx(1.11455, abs=1e-4)  # 891.64 GFLOP at 800 TFLOP/s
    assert found.floor_ms("M", "fp16") == pytest.approx(0.127 / 3)  # its memory traffic takes longer
    assert found.floor_ms("W+G", "fp32") == pytest.approx(2 * 616.86 / 50)
    assert Roofline({"fp32": 1e9}, 3000.0).floor_ms("M", "fp32") == pytest.approx(2 * 0.127 / 3)  # twice the bytes


def test_peaks_are_the_best_of_several_runs(monkeypatch):
    seconds = iter((9.0, 2.0, 3.0))
    monkeypatch.setattr(roofline, "KINDS", {"cpu": ("fp32",)})
    monkeypatch.setattr(roofline, "SIDES", {"cpu": 100})
    monkeypatch.setattr(roofline, "COPIED", {"cpu": 1000})
    monkeypatch.setattr(roofline, "time_on_device", lambda device, function: next(seconds, 5.0))
    assert measure_roofline(CPU) == Roofline({"fp32": 2e6 / 2.0 / 1e12}, 2000 / 5.0 / 1e9)


def test_this_machine_multiplies_and_copies(monkeypatch):
    monkeypatch.setattr(roofline, "SIDES", {"cpu": 256})
    monkeypatch.setattr(roofline, "COPIED", {"cpu": 1 << 20})
    found = measure_roofline(CPU)
    assert set(found.tflops) == {"fp32", "bf16"} and min(found.tflops.values()) > 1e-4
    assert 0.01 < found.copy_gbs < 10_000


def test_tf32_is_put_back():
    modes = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [mode.allow_tf32 for mode in modes]
    with pytest.raises(RuntimeError), tf32(not before[0]):
        assert [mode.allow_tf32 for mode in modes] == [not before[0]] * 2
        raise RuntimeError
    assert [mode.allow_tf32 for mode in modes] == before


@pytest.mark.gpu
def test_tensor_cores_are_faster():
    found = measure_roofline(torch.device("cuda"))
    assert found.tflops["fp16"] > found.tflops["tf32"] > found.tflops["fp32"] > 1
    assert found.copy_gbs > 100
