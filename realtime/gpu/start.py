"""LivePortrait in a thread of its own, with what its device offers."""

from __future__ import annotations

import torch

from pipeline.liveportrait.animator import LivePortrait
from pipeline.liveportrait.driven_keypoints import Drawing
from realtime.gpu.worker import DeviceMemory, Worker


def own_thread(animator: LivePortrait) -> Worker[Drawing]:
    """A worker for it; on CUDA pictures travel in streams beside the one that computes.

    MissingPackage without cuda-python.
    """
    device = animator.backend.device
    if device.type != "cuda":
        return Worker(animator)
    worker = Worker(animator, DeviceMemory(lambda: torch.cuda.mem_get_info(device)[0], torch.OutOfMemoryError))
    worker.run(lambda: use_streams(animator))
    return worker


def use_streams(animator: LivePortrait) -> None:
    """On CUDA, to be called by the thread that draws: pictures travel beside what computes."""
    from pipeline.liveportrait.cuda.device import CudaGpu
    from pipeline.liveportrait.cuda.pixels import KERNELS, CudaPixels

    animator.pixels = CudaPixels(CudaGpu(animator.backend.device, KERNELS))
