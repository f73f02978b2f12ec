"""Ways to run LivePortrait's networks for one frame, to be measured side by side.

All of them run our networks, whose constant norms are folded into convolutions and whose samplings are float32, which
the official ones do not do; so what is measured of the official ways errs in their favour, if at all.
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
    """A portrait and what moves it, as the networks get it: float32, on the device."""

    feature: Tensor  # (1, 32, 16, 64, 64) the portrait's appearance
    source: Tensor  # (1, 21, 3) its keypoints
    driving: tuple[Tensor, ...]  # of each frame (1, 3, 256, 256), the driver in 0..1
    driven: tuple[Tensor, ...]  # of each frame (1, 21, 3), where the keypoints go


Draw = Callable[[NetworkInputs, int, Mark], Tensor]
"""A frame of a inputs, by its number: (1, 3, 512, 512) about 0..1, valid until the next call."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """One way."""

    name: str
    about: str
    kind: str  # of numbers, as in roofline.DTYPES
    make: Callable[[], Draw]
    spent: float = 0.0  # seconds that making it took already


def baselines(load: Callable[[], Networks], device: torch.device) -> Iterator[Baseline]:
    """The reference first, whose pictures the others' are compared with; `load` gives new networks in float32."""
    half, kind = (torch.float16, "fp16") if device.type == "cuda" else (torch.bfloat16, "bf16")
    name = kind.upper()

    def fresh(warp: Callable[[], AbstractContextManager[object]]) -> Callable[[], Draw]:
        return lambda: _apart(load().to(device), torch.float32, warp)

    yield Baseline("eager FP32", "kernel by kernel, without TF32", "fp32", fresh(partial(tf32, False)))
    if device.type == "cuda":
        yield Baseline(
            "eager FP32, TF32 convolutions", "the same as PyTorch does it by itself", "tf32", fresh(nullcontext)
        )
    autocast = partial(torch.autocast, device.type, half)
    yield Baseline(f"autocast {name}", "per frame, as the official program runs", kind, fresh(autocast))
    about = f"{name} weights, each network by torch.compile(mode='max-autotune'), as the official speed test runs"
    yield Baseline(f"compiled {name}", about, kind, lambda: _compiled(load().to(device, half), half))


def our_backend(backend: Backend, spent: float) -> Baseline:
    """A backend that was warmed up, in so many seconds."""
    kinds = {torch.float16: "fp16", torch.bfloat16: "bf16"}
    kind = kinds.get(backend.dtype, "tf32" if backend.device.type == "cuda" else "fp32")
    about = f"the backend {backend.name}, which draws in {kind.upper()}"
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
        if inputs.feature.is_cuda:  # what the graphs returned for the frame before may be overwritten
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
