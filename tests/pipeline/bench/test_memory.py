from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="memory is PyTorch's too")

from pipeline.bench.memory import held, keeping_memory, peak, restart_peak  # noqa: E402

CPU = torch.device("cpu")
MEGABYTES = 64


def used():
    """Bytes at most while a tensor of 64 MB lives, above what was there before."""
    before = restart_peak(CPU)
    if before is None:
        pytest.skip("the system does not tell")
    torch.ones(MEGABYTES << 18)
    return peak(CPU) - before


def test_the_peak_is_that_since_it_was_restarted():
    assert abs(used() - (MEGABYTES << 20)) < 16 << 20
    assert peak(CPU) - restart_peak(CPU) > (MEGABYTES - 16) << 20  # the tensor is gone


def test_what_is_kept_is_given_back_at_the_end():
    before = restart_peak(CPU)
    if before is None:
        pytest.skip("the system does not tell")
    with keeping_memory():
        torch.ones(MEGABYTES << 18)
    assert held(CPU) - before < 16 << 20
