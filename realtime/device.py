"""LivePortrait in a thread of its own, with what its device offers."""

from __future__ import annotations

import torch

from pipeline.liveportrait.animator import LivePortrait
from pipeline.liveportrait.driving import Drawing
from realtime.worker import Memory, Worker


def own_thread(animator: LivePortrait) -> Worker[Drawing]:
    """A worker for it; on CUDA pictures travel in streams beside the one that computes.

    MissingPackage without cuda-python.
    """
    device = animator.backend.device
    if device.type != "cuda":
        return Worker(animator)
    worker = Worker(animator, Memory(lambda: torch.cuda.mem_get_info(device)[0], torch.OutOfMemoryError))
    worker.run(lambda: use_streams(animator))
    return worker


def use_streams(animator: LivePortrait) -> None:
    """On CUDA, to be called by the thread that draws: pictures travel beside what computes."""
    from realtime.gpu import CudaGpu
    from realtime.transfer import KERNELS, CudaPixels

    animator.pixels = CudaPixels(CudaGpu(animator.backend.device, KERNELS))
