"""How fast a device could draw: its measured peaks, and the work in LivePortrait's networks.

The model is that of Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", CACM 2009:
nothing is faster than its arithmetic at the peak of matrix products, or than its memory traffic at the peak of copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from pipeline.bench.device_timer import time_on_device


@dataclass(frozen=True)
class Work:
    """The work of a network for one picture."""

    gmac: float  # multiply-accumulates in units of 1e9, each of two operations
    gigabytes: float  # in 16 bits, with elementwise work fused into the operators


WORK: Mapping[str, Work] = {
    "M": Work(5.82, 0.127),
    "W": Work(171.04, 0.299),
    "G": Work(445.82, 1.109),
}
"""Motion extractor, warping network and generator as published (the test counts the operations with PyTorch's
FlopCounterMode). Every convolution, product and sampling reads its inputs and weights and writes its output once."""

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
KINDS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "bf16", "fp16")}  # fp16 and tf32 are no faster on a CPU
SIDES = {"cpu": 2048, "cuda": 8192}  # of the square matrices
COPIED = {"cpu": 1 << 28, "cuda": 1 << 30}  # bytes, far more than the caches hold
RUNS = 10


@dataclass(frozen=True)
class Roofline:
    """The measured peaks of a device."""

    tflops: Mapping[str, float]  # of a square matrix product, by kind of numbers
    copy_gbs: float  # 1e9 bytes read and written in a second

    def floor_ms(self, network: str, kind: str) -> float:
        """Return the least milliseconds for one picture; `network` is a name in WORK, or several joined with "+"."""
        parts = [WORK[name] for name in network.split("+")]
        arithmetic = 2 * sum(part.gmac for part in parts) / self.tflops[kind]
        traffic = 1000 * sum(part.gigabytes for part in parts) / self.copy_gbs * DTYPES[kind].itemsize / 2
        return max(arithmetic, traffic)


def measure_roofline(device: torch.device) -> Roofline:
    """Measure the device's peaks: the best of several products and copies."""
    tflops = {kind: _product(device, kind) for kind in KINDS[device.type]}
    return Roofline(tflops, _copy(device))


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid that CUDA rounds float32 inputs to 10 bits; PyTorch's default allows it for convolutions only."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def _product(device: torch.device, kind: str) -> float:
    side = SIDES[device.type]
    left, right = (torch.randn(side, side, device=device).to(DTYPES[kind]) for _ in range(2))
    result = torch.empty_like(left)
    with tf32(kind == "tf32"):
        return 2 * side**3 / _least(device, lambda: torch.mm(left, right, out=result)) / 1e12


def _copy(device: torch.device) -> float:
    # Not zeros, for which the system may not have allocated pages yet.
    source = torch.ones(COPIED[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / _least(device, lambda: target.copy_(source)) / 1e9


def _least(device: torch.device, function: Callable[[], object]) -> float:
    """Return the least seconds of several calls; the first call is not timed."""
    function()
    return min(time_on_device(device, function) for _ in range(RUNS))
