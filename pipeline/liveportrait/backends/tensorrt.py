"""Run the networks by TensorRT, from the ONNX files of export.py, on PyTorch's stream and in its memory.

Written after the documentation of TensorRT 10 and 11 and the Python bindings of 11.4, and never run, because the
library was not available. The types of the graph are those of the engine ("strongly typed", the only way since 11):
float16 where the exported networks have it, float32 for coordinates and softmax.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.core.animator import Progress
from pipeline.liveportrait.backend import BackendError
from pipeline.liveportrait.backends import export
from pipeline.liveportrait.backends.export import Exportable, made
from pipeline.liveportrait.backends.runtime import Run, RuntimeBackend
from pipeline.liveportrait.checkpoint import Networks

PIN = "tensorrt==11.4.0.106"
BATCHES = (1, 1, 8)  # the smallest, the one to be fastest at, the largest
TYPES = {"FLOAT": torch.float32, "HALF": torch.float16}


class TensorRT(RuntimeBackend):
    """Runs engines that are built for this GPU, which takes minutes, and kept."""

    name = "tensorrt"

    def library(self, device: torch.device) -> Any:
        return _tensorrt(device)

    def open(self, name: str, network: Exportable) -> Run:
        trt = self._library
        gpu = re.sub(r"\W+", "-", torch.cuda.get_device_name(self.device))
        file = f"{name}.{network.key()}.tensorrt-{trt.__version__}-{gpu}.engine"
        return TensorRtEngine(trt, made(self._folder / file, lambda path: build(trt, network, path)), self.device)


class TensorRtEngine:
    """Runs one network. Tensors are bound by name, since an engine may list them in any order."""

    def __init__(self, trt: Any, path: Path, device: torch.device) -> None:
        self._device, self._path = device, path
        self._logger = trt.Logger(trt.Logger.ERROR)  # must outlive the runtime, which must outlive the engine
        self._runtime = trt.Runtime(self._logger)
        engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise BackendError(f"TensorRT cannot load {path}; delete it and start again.")
        self._context = engine.create_execution_context()
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self._outputs = {
            name: TYPES[engine.get_tensor_dtype(name).name]
            for name in names
            if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT
        }

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run contiguous tensors of the engine's types, by name, on its device; return the outputs by name."""
        for name, tensor in inputs.items():
            if not self._context.set_input_shape(name, tuple(tensor.shape)):
                raise BackendError(
                    f"{self._path.name} takes 1 to {BATCHES[-1]} pictures, not {name} {[*tensor.shape]}."
                )
        results = {
            name: torch.empty(tuple(self._context.get_tensor_shape(name)), dtype=dtype, device=self._device)
            for name, dtype in self._outputs.items()
        }
        for name, tensor in {**inputs, **results}.items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        if not self._context.execute_async_v3(torch.cuda.current_stream(self._device).cuda_stream):
            raise BackendError(f"TensorRT could not run {self._path.name}; delete it and start again.")
        return results


def export_tensorrt(
    networks: Networks, folder: Path, precision: export.ExportPrecision, device: torch.device, progress: Progress
) -> export.Manifest:
    """Write an engine of every network for this GPU, and a manifest. Raise BackendError without TensorRT."""
    trt = _tensorrt(device)
    versions = {"tensorrt": trt.__version__, "gpu": torch.cuda.get_device_name(device)}
    manifest = export.Manifest("tensorrt", precision, versions, dict(networks.digests), {})
    exported = export.exportables(networks, export.DTYPES[precision], device)
    return export.write_all(manifest, exported, partial(build, trt), folder, progress)


def build(trt: Any, network: Exportable, path: Path) -> export.Sides:
    """Write an engine of this network for the current GPU; return its inputs and outputs. Raise BackendError."""
    raw = path.with_suffix(".onnx")
    sides = export.write_onnx(network, raw)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse_from_file(str(raw)):
        errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise BackendError(f"TensorRT {trt.__version__} cannot read {raw.name}: {errors}.")
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for name, example in network.inputs.items():
        profile.set_shape(name, *((batch, *example.shape[1:]) for batch in BATCHES))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(definition, config)
    if plan is None:
        raise BackendError(f"TensorRT {trt.__version__} cannot build {raw.name} for this GPU; use --backend compiled.")
    path.write_bytes(plan)
    raw.unlink()
    return sides


def _tensorrt(device: torch.device) -> Any:
    if device.type != "cuda":
        raise BackendError("TensorRT needs an NVIDIA GPU; --backend onnx runs on a CPU.")
    try:
        import tensorrt  # type: ignore[import-not-found]
    except ImportError as error:
        raise BackendError(f"TensorRT is not available: `pip install {PIN}` (needs an NVIDIA GPU).") from error
    return tensorrt
