from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from pipeline.bench import device_timer  # noqa: E402
from pipeline.bench.device_timer import DeviceTimer, time_on_device  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [0.0]
    monkeypatch.setattr(device_timer.time, "perf_counter", lambda: now[0])
    return now


def test_a_part_is_the_time_since_the_mark_before(clock):
    timer = DeviceTimer(CPU)
    for name, seconds in (("M", 0.5), ("W", 2.0), ("G", 4.0)):
        clock[0] += seconds
        timer.mark(name)
    clock[0] += 100.0  # belongs to nothing
    assert timer.seconds() == {"M": 0.5, "W": 2.0, "G": 4.0}


def test_a_function_is_timed(clock):
    assert time_on_device(CPU, lambda: clock.__setitem__(0, 3.0)) == 3.0


@pytest.mark.gpu
def test_the_host_does_not_wait_and_the_time_is_the_devices():
    device = torch.device("cuda")
    big = torch.randn(4096, 4096, device=device)
    time_on_device(device, lambda: big @ big)
    timer = DeviceTimer(device)
    for _ in range(50):
        big = (big @ big).clamp(-1, 1)
    timer.mark("products")
    assert not torch.cuda.current_stream().query()  # still at it
    timer.mark("nothing")
    found = timer.seconds()
    assert found["products"] > 0.002 > found["nothing"] >= 0  # 50 x 137 GFLOP take 100 us each at 1.4 PFLOP/s
