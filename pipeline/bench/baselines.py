"""Ways to run LivePortrait's networks for one frame, measured side by side.

All of them run our networks, which fold constant norms into convolutions and sample in float32. The official networks
do neither, so the figures of the official ways are too good rather than too bad.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from pipeline.bench.roofline import tf32
from pipeline.liveportrait.backend import Backend
from pipeline.liveportrait.checkpoint import Networks

Mark = Callable[[str], None]
"""Called with the name of what was launched since the last call: "M", "W" and "G" (roofline.WORK), or "W+G"."""


@dataclass(frozen=True, eq=False)
class NetworkInputs:
    """A portrait and the driving frames, as the networks read them: float32, on the device."""

    feature: Tensor  # (1, 32, 16, 64, 64) appearance of the portrait
    source: Tensor  # (1, 21, 3) keypoints of the portrait
    driving: tuple[Tensor, ...]  # (1, 3, 256, 256) for each frame, in 0..1
    driven: tuple[Tensor, ...]  # (1, 21, 3) for each frame: where the keypoints go


Draw = Callable[[NetworkInputs, int, Mark], Tensor]
"""Draws the frame of this number: (1, 3, 512, 512) about 0..1, valid until the next call."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """One way to run the networks."""

    name: str
    about: str
    kind: str  # of numbers: a name in roofline.DTYPES
    make: Callable[[], Draw]
    spent: float = 0.0  # seconds that were already spent on making it


def baselines(load: Callable[[], Networks], device: torch.device) -> Iterator[Baseline]:
    """Yield plain float32 first, as the reference for pictures, then the official ways.

    `load` returns new networks in float32.
    """
    half, kind = (torch.float16, "fp16") if device.type == "cuda" else (torch.bfloat16, "bf16")
    name = kind.upper()

    def fresh(warp: Callable[[], AbstractContextManager[object]]) -> Callable[[], Draw]:
        return lambda: _apart(load().to(device), torch.float32, warp)

    yield Baseline("eager FP32", "one kernel after another, without TF32", "fp32", fresh(partial(tf32, False)))
    if device.type == "cuda":
        yield Baseline(
            "eager FP32, TF32 convolutions",
            "the same with PyTorch's default of TF32 convolutions",
            "tf32",
            fresh(nullcontext),
        )
    autocast = partial(torch.autocast, device.type, half)
    yield Baseline(f"autocast {name}", "as the official program runs", kind, fresh(autocast))
    about = f"{name} weights, each network by torch.compile(mode='max-autotune'), as the official speed test runs"
    yield Baseline(f"compiled {name}", about, kind, lambda: _compiled(load().to(device, half), half))


def our_backend(backend: Backend, spent: float) -> Baseline:
    """Return a backend that was warmed up in `spent` seconds, as one more way."""
    kinds = {torch.float16: "fp16", torch.bfloat16: "bf16"}
    kind = kinds.get(backend.dtype, "tf32" if backend.device.type == "cuda" else "fp32")
    about = f"this project's backend {backend.name}"
    return Baseline(f"--backend {backend.name}, {kind.upper()}", about, kind, lambda: _whole(backend), spent)


def _apart(networks: Networks, dtype: torch.dtype, around: Callable[[], AbstractContextManager[object]]) -> Draw:
    motion, warping, generator = networks.motion, networks.warping, networks.generator

    def draw(inputs: NetworkInputs, frame: int, mark: Mark) -> Tensor:
        with around():
            motion(inputs.driving[frame].to(dtype))
            mark("M")
            warped = warping(inputs.feature.to(dtype), inputs.driven[frame], inputs.source).feature
            mark("W")
            picture: Tensor = generator(warped)
            mark("G")
        return picture

    return draw


def _compiled(networks: Networks, dtype: torch.dtype) -> Draw:
    for network in (networks.motion.to(dtype), networks.warping, networks.generator):
        network.compile(mode="max-autotune")
    draw = _apart(networks, dtype, nullcontext)

    def next_step(inputs: NetworkInputs, frame: int, mark: Mark) -> Tensor:
        if inputs.feature.is_cuda:  # the graphs may overwrite the frame before
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return draw(inputs, frame, mark)

    return next_step


def _whole(backend: Backend) -> Draw:
    source = lru_cache(1)(lambda inputs: backend.prepare_source(inputs.feature, inputs.source))

    def draw(inputs: NetworkInputs, frame: int, mark: Mark) -> Tensor:
        portrait = source(inputs)
        backend.motion(inputs.driving[frame])
        mark("M")
        picture = backend.draw([portrait], inputs.driven[frame])
        mark("W+G")
        return picture

    return draw
