"""What distinguishes one way of running LivePortrait from another."""

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
from pipeline.liveportrait.load import choose_dtype

Precision = Literal["fp32", "bf16", "fp16"]
CompileMode = Literal["reduce-overhead", "max-autotune"]
Half = Literal["none", "generator", "all"]

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
RUN_FRAMES = {"cpu": 3, "cuda": 30}  # from the first one read to the last one written


@dataclass(frozen=True)
class Setup:
    """One way. The defaults are the original's: eager, float32, a frame at a time, nothing kept, the video in memory.

    What concerns the networks alone, from `autocast` to `half`, is for the backend "plain"; others decide it.
    """

    backend: BackendName | Literal["plain"] = "plain"
    precision: Precision = "fp32"  # of the weights that draw
    folded: bool = False  # constant norms as part of the convolutions before them; other backends want it so
    pruned: float = 0.0  # share of the channels that are taken out
    autocast: Precision | None = None
    stored: Kind | None = None  # in how many bits large weights wait for their call
    dynamic: bool = False  # the motion extractor's products in INT8, their scales found in every call
    compiled: CompileMode | None = None  # by torch.compile
    graphs: bool = False  # captured on CUDA
    inference: bool = False  # torch.inference_mode in place of no_grad
    channels_last: bool = False
    half: Half = "none"  # what works at half the width and height
    tf32: bool = False
    threads: int | None = None  # None: as many as PyTorch takes
    keeps_memory: bool = False  # of the host, from frame to frame
    empties_cache: bool = False  # after every frame
    pinned: bool = False  # pictures travel through pinned rings in streams of their own
    streams: bool = False  # the video is read as it is drawn, large frames are reduced
    caches_source: bool = False
    reuses_motion: bool = False  # where the driver does not move
    batch: int = 1  # frames drawn in one call
    overlaps: bool = False  # reading and tracking, drawing, and writing run in a thread each

    def frames(self, device: torch.device) -> int:
        """How many of them make up one step, which is timed as a whole."""
        if self.overlaps:
            return RUN_FRAMES[device.type]
        return 2 if self.reuses_motion else self.batch

    def __str__(self) -> str:
        """What differs from the original."""
        changed = ((name, value) for name, value in asdict(self).items() if value != getattr(ORIGINAL, name))
        said = [name if value is True else f"{name} {value}" for name, value in changed]
        return ", ".join(said).replace("_", " ") or "nothing changed"

    @contextmanager
    def applied(self) -> Iterator[None]:
        """With what is the process's own: threads, kinds of products, the allocator."""
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
    """What `serve` does on this device with this backend and the precision that it is asked for."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    name = str(choose_dtype(asked, gpu, backend)).removeprefix("torch.")
    precisions: dict[str, Precision] = {str(dtype).removeprefix("torch."): key for key, dtype in DTYPES.items()}
    cuda = device.type == "cuda"
    return Setup(
        backend=backend,
        precision=precisions[name],
        folded=True,
        inference=True,
        tf32=cuda,
        pinned=cuda,
        streams=True,
        caches_source=True,
    )
