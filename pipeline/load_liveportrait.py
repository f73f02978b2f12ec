"""Make LivePortrait for this machine: device, precision, weights, backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from pipeline.core.batched import CallerThread, Executor
from pipeline.core.choices import BackendName, Device, Precision
from pipeline.core.registry import AnimatorError, AnimatorSettings, Loaded
from pipeline.liveportrait.animator import LivePortrait
from pipeline.liveportrait.backends.registry import Build, builder
from pipeline.liveportrait.checkpoint import Networks, load_networks
from pipeline.liveportrait.corrections import Correctors
from pipeline.liveportrait.crop import CROP_SIZE
from pipeline.liveportrait.cuda.pixels import overlapping_pixels
from pipeline.liveportrait.pixels import HostPixels
from pipeline.models.face_models import FaceModels
from pipeline.models.liveportrait_hub import is_complete, unknown_checkpoints, weights_folder
from pipeline.models.store import cache_folder

NO_HALF = ("GTX 16",)  # GPUs on which float16 gives NaN (LivePortrait's issues 62 and 231)


def load(settings: AnimatorSettings) -> Loaded:
    """Load LivePortrait on the best device. Raise AnimatorError or WeightsError if it cannot run."""
    device = best_device()
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    dtype = choose_dtype(settings.precision, gpu, settings.backend)
    source = partial(load_liveportrait, settings.weights)
    networks = source()
    about = about_weights(networks.digests)
    build = builder(settings.backend, device)
    animator = assemble(settings.models, networks, build, dtype, settings.size, settings.executor, source)
    return Loaded(animator, about, f"{gpu or 'cpu'}, {str(dtype).removeprefix('torch.')}")


def assemble(
    models: FaceModels,
    networks: Networks,
    build: Build,
    dtype: torch.dtype = torch.float32,
    size: int = CROP_SIZE,
    executor: Executor | None = None,
    reload: Callable[[], Networks] | None = None,
) -> LivePortrait:
    """Return LivePortrait around `networks` (float32), which the backend that `build` makes takes over.

    With an executor pictures travel to and from CUDA while it computes. `reload` gives the networks anew, for the
    float32 backend that takes over if `dtype` gives NaN.
    """
    correctors = Correctors(networks.stitching, networks.lip, networks.eye)
    run = (executor or CallerThread()).run
    backend = run(lambda: build(networks, dtype))
    pixels = run(lambda: (overlapping_pixels if executor else HostPixels)(backend.device))
    fallback = (lambda: build(reload(), torch.float32)) if reload else None
    return LivePortrait(models, correctors, backend, pixels, executor=executor, size=size, fallback=fallback)


def best_device() -> torch.device:
    """Return the first CUDA device, or the CPU if there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def chosen_device(name: Device) -> torch.device:
    """Return the device of this name. Raise AnimatorError if there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise AnimatorError(
            "PyTorch finds no CUDA device. `python run.py doctor` says why; --device cpu measures the CPU."
        )
    return best_device() if name == "auto" else torch.device(name)


def load_liveportrait(weights: Path | None = None) -> Networks:
    """Return LivePortrait's networks in float32, from `weights` or from where they are downloaded to.

    Raise AnimatorError if they are not there, WeightsError if they are damaged.
    """
    folder = weights or weights_folder()
    if not is_complete(folder):
        raise AnimatorError(
            f"LivePortrait's weights are not in {folder}; run `python run.py weights fetch liveportrait` (520 MB), "
            "name the folder that has them with --weights, or use --animator meshwarp."
        )
    return load_networks(folder, cache_folder())


def about_weights(digests: Mapping[str, str]) -> str:
    """Return whether checkpoints with these sha256 digests, by name, are the official ones, for a sentence."""
    if unknown := unknown_checkpoints(digests):
        return f"stand-in weights: {len(unknown)} of {len(digests)} files are not the official"
    return "official weights"


def choose_dtype(precision: Precision, gpu: str | None, backend: BackendName = "compiled") -> torch.dtype:
    """Return what the networks compute in; `gpu` is its name, None for the CPU. Raise AnimatorError if they cannot."""
    if precision == "auto":
        precision = _fastest(gpu, backend)
    if precision == "fp16" and gpu is None:
        raise AnimatorError("On a CPU fp16 is far slower than fp32; use --precision fp32 or bf16.")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _fastest(gpu: str | None, backend: BackendName) -> Precision:
    if gpu is None and backend == "onnx":
        return "fp32"  # ONNX Runtime has no bfloat16 on a CPU
    if gpu is None:
        return "bf16" if torch.cpu.get_capabilities().get("avx512_bf16") else "fp32"
    return "fp32" if any(series in gpu for series in NO_HALF) else "fp16"
