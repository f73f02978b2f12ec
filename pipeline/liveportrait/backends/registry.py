"""The table of backends, by the names that `--backend` takes. Each is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch

from pipeline.core.choices import BackendName
from pipeline.liveportrait.backend import Backend
from pipeline.liveportrait.checkpoint import Networks

Build = Callable[[Networks, torch.dtype], Backend]

_CLASSES: dict[BackendName, str] = {
    "compiled": "Compiled",
    "eager": "Eager",
    "onnx": "OnnxRuntime",
    "pruned": "Pruned",
    "quantized": "Quantized",
    "tensorrt": "TensorRT",
}
"""The class in the module of each name."""


def builder(name: BackendName, device: torch.device) -> Build:
    """Return what makes the backend for `device`, from networks that it takes over and the type it draws in."""

    def build(networks: Networks, dtype: torch.dtype) -> Backend:
        module = import_module(f"pipeline.liveportrait.backends.{name}")
        backend: Backend = getattr(module, _CLASSES[name])(networks, device, dtype)
        return backend

    return build
