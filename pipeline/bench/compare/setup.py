"""A way of running LivePortrait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

import torch

from pipeline.bench.memory import keeping_memory
from pipeline.bench.roofline import tf32
from pipeline.core.choices import BackendName
from pipeline.core.choices import Precision as Asked
from pipeline.liveportrait.backends.ops.weight_only import Kind
from pipeline.load_liveportrait import choose_dtype

Precision = Literal["fp32", "bf16", "fp16"]
CompileMode = Literal["reduce-overhead", "max-autotune"]
Half = Literal["none", "generator", "all"]

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
RUN_FRAMES = {"cpu": 3, "cuda": 30}  # of a step that reads, draws and writes at the same time


@dataclass(frozen=True)
class Setup:
    """A way of running. The defaults are the original's: eager, float32, frame by frame, the whole video in memory.

    The fields from `autocast` to `half` concern the backend "plain" only; other backends decide for themselves.
    """

    backend: BackendName | Literal["plain"] = "plain"
    precision: Precision = "fp32"  # of the weights that draw
    folded: bool = False  # constant norms folded into convolutions; other backends need it
    pruned: float = 0.0  # share of the channels that are removed
    autocast: Precision | None = None
    stored: Kind | None = None  # the type that large weights are stored in
    dynamic: bool = False  # the motion extractor's products in INT8, with scales found in every call
    compiled: CompileMode | None = None  # by torch.compile
    graphs: bool = False  # captured on CUDA
    inference: bool = False  # torch.inference_mode instead of no_grad
    channels_last: bool = False
    half: Half = "none"  # what works at half width and height
    tf32: bool = False
    threads: int | None = None  # None: PyTorch decides
    keeps_memory: bool = False  # of the host, between frames
    empties_cache: bool = False  # after every frame
    pinned: bool = False  # pinned buffers and copy streams
    streams: bool = False  # the video is read frame by frame, and large frames are shrunk
    caches_source: bool = False
    reuses_motion: bool = False  # if the driver does not move
    batch: int = 1  # frames drawn in one call
    overlaps: bool = False  # reading and tracking, drawing, and writing run in three threads

    def frames(self, device: torch.device) -> int:
        """Return how many frames make up one step, which is timed as a whole."""
        if self.overlaps:
            return RUN_FRAMES[device.type]
        return 2 if self.reuses_motion else self.batch

    def __str__(self) -> str:
        """Name what differs from the original."""
        changed = ((name, value) for name, value in asdict(self).items() if value != getattr(ORIGINAL, name))
        said = [name if value is True else f"{name} {value}" for name, value in changed]
        return ", ".join(said).replace("_", " ") or "nothing changed"

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Apply what belongs to the process: threads, kinds of products, the allocator."""
        threads = torch.get_num_threads()
        with ExitStack() as stack:
            stack.enter_context(tf32(self.tf32))
            if self.keeps_memory:
                stack.enter_context(keeping_memory())
            if self.threads:
                torch.set_num_threads(self.threads)
                stack.callback(torch.set_num_threads, threads)
            yield


ORIGINAL = Setup()


def served(device: torch.device, backend: BackendName, asked: Asked) -> Setup:
    """Return what `serve` does on this device with this backend and precision."""
    cuda = device.type == "cuda"
    dtype = choose_dtype(asked, torch.cuda.get_device_name(device) if cuda else None, backend)
    return Setup(
        backend=backend,
        precision=next(name for name, each in DTYPES.items() if each == dtype),
        folded=True,
        inference=True,
        tf32=cuda,
        pinned=cuda,
        streams=True,
        caches_source=True,
    )
