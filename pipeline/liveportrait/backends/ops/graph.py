"""Functions of tensors of fixed shapes, made fast to call: compiled, and on CUDA captured as one graph.

Capture saves the host launching hundreds of kernels one by one. A graph works on tensors that never move: write into
its inputs, then call it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.models.store import cache_folder

WARM_CALLS = 3  # before capture, because the first calls compile, choose algorithms and allocate

Function = Callable[..., Tensor]


@dataclass(frozen=True, eq=False)
class Step:
    """A function ready to be called. Its result, for what is in `inputs`, is valid until the next call of any step."""

    inputs: Sequence[Tensor]
    run: Callable[[], Tensor]


class Graphs:
    """Makes steps: graphs on CUDA, which share memory; plain calls elsewhere. For one thread."""

    def __init__(self, device: torch.device) -> None:
        self._pool: Any = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def step(self, function: Function, inputs: Sequence[Tensor]) -> Step:
        """Return `function` as a step with these inputs, which belong to the step from now on."""
        if self._pool is None:
            return Step(inputs, lambda: function(*inputs))
        self._warm(function, inputs)
        graph = torch.cuda.CUDAGraph()
        # Another thread may free an unused portrait during capture, which the mode "global" calls an error.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = function(*inputs)

        def replay() -> Tensor:
            graph.replay()
            return result

        return Step(inputs, replay)

    def _warm(self, function: Function, inputs: Sequence[Tensor]) -> None:
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_CALLS):
                function(*inputs)
        torch.cuda.current_stream().wait_stream(aside)


def compiled(function: Function, device: torch.device) -> Function:
    """Return `function` compiled for a GPU; compiled code is kept in the cache folder for the next start.

    On a CPU it stays as it is, because compiling gains nothing there in 16 bits.
    """
    if device.type != "cuda":
        return function
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
    torch.backends.cudnn.benchmark = True  # shapes are fixed, so the fastest algorithm is searched for once
    return torch.compile(function, fullgraph=True, dynamic=False, mode="max-autotune-no-cudagraphs")
