"""Choosing the animator that this machine can run, and saying why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.core.animator import Animator, Progress
from pipeline.core.choices import BackendName, Precision
from pipeline.models.face_models import FaceModels
from pipeline.models.liveportrait_hub import is_complete, unknown_checkpoints, weights_folder
from pipeline.models.store import cache_folder

if TYPE_CHECKING:
    import torch

    from pipeline.liveportrait.checkpoint import Networks

AnimatorName = Literal["auto", "liveportrait", "meshwarp"]

NO_HALF = ("GTX 16",)  # GPUs on which float16 gives NaN (LivePortrait's issues 62 and 231)


class AnimatorError(RuntimeError):
    """The animator that the user named cannot run here; the text says why and what to do."""


@dataclass(frozen=True)
class Loaded:
    """An animator, why it was taken, and what it runs on."""

    animator: Animator
    reason: str
    device: str

    def warmed_up(self, progress: Progress) -> Loaded:
        """Ready to use; the reason tells its speed where that can be a question."""
        seconds = self.animator.warm_up(progress)
        if seconds is None:
            return self
        speed = f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"
        return replace(self, reason=f"{self.reason}; {speed} a frame")


def load_animator(
    name: AnimatorName,
    models: FaceModels,
    size: int,
    precision: Precision = "auto",
    weights: Path | None = None,
    backend: BackendName = "compiled",
) -> Loaded:
    """The named animator, or for "auto" the best that runs here; `size` is the output's side in pixels.

    `weights` is the folder of LivePortrait's checkpoints where they are not the fetched ones. Raises AnimatorError or
    WeightsError. PyTorch is imported only where the checkpoints are there.
    """
    folder = weights or weights_folder()
    if name == "meshwarp":
        return _meshwarp(models, size, "you asked for it")
    if name == "liveportrait":
        return _liveportrait(models, size, precision, folder, backend, "you asked for it")
    if not is_complete(folder):
        return _meshwarp(models, size, "LivePortrait's weights are not on this machine")
    if best_device().type != "cuda":
        return _meshwarp(models, size, "there is no CUDA device for LivePortrait")
    return _liveportrait(models, size, precision, folder, backend, "there are a CUDA device and the weights")


def _meshwarp(models: FaceModels, size: int, reason: str) -> Loaded:
    from pipeline.meshwarp.animator import MeshWarp

    return Loaded(MeshWarp(models, size), reason, "cpu")


def best_device() -> torch.device:
    """The first CUDA device, or else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_liveportrait(weights: Path | None = None) -> Networks:
    """LivePortrait's networks in float32, from the fetched checkpoints or those in `weights`.

    Raises AnimatorError where there are none, WeightsError where they are not what they should be.
    """
    from pipeline.liveportrait.checkpoint import load_networks

    folder = weights or weights_folder()
    if not is_complete(folder):
        raise AnimatorError(
            f"LivePortrait's weights are not in {folder}; run `python run.py weights fetch liveportrait` (520 MB), "
            "name the folder that has them with --weights, or use --animator meshwarp."
        )
    return load_networks(folder, cache_folder())


def about_weights(digests: Mapping[str, str]) -> str:
    """Whether the checkpoints with these sha256, by name, are the official ones."""
    unknown = unknown_checkpoints(digests)
    return (
        f"stand-in weights: {len(unknown)} of {len(digests)} files are not the official"
        if unknown
        else "official weights"
    )


def _liveportrait(
    models: FaceModels, size: int, precision: Precision, folder: Path, backend: BackendName, reason: str
) -> Loaded:
    import torch

    from pipeline.liveportrait.animator import LivePortrait
    from pipeline.liveportrait.backends.registry import builder

    device = best_device()
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    dtype = choose_dtype(precision, gpu, backend)
    load = partial(load_liveportrait, folder)
    animator = LivePortrait(models, load, builder(backend, device), dtype, size)
    reason = f"{reason}; {about_weights(animator.digests)}"
    return Loaded(animator, reason, f"{gpu or 'cpu'}, {str(dtype).removeprefix('torch.')}")


def _fastest(gpu: str | None, backend: BackendName) -> Precision:
    import torch

    if gpu is None and backend == "onnx":
        return "fp32"  # ONNX Runtime has no bfloat16 on a CPU
    if gpu is None:
        return "bf16" if torch.cpu.get_capabilities().get("avx512_bf16") else "fp32"
    return "fp32" if any(series in gpu for series in NO_HALF) else "fp16"


def choose_dtype(precision: Precision, gpu: str | None, backend: BackendName = "compiled") -> torch.dtype:
    """What the networks compute in; `gpu` is its name, None for the CPU. AnimatorError where they cannot."""
    import torch

    if precision == "auto":
        precision = _fastest(gpu, backend)
    if precision == "fp16" and gpu is None:
        raise AnimatorError("On a CPU fp16 is far slower than fp32; use --precision fp32 or bf16.")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
