"""Run the networks by ONNX Runtime, on a CPU or through its CUDA provider, in PyTorch's memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.liveportrait.backend import BackendError
from pipeline.liveportrait.backends.export import Exportable, made, write_onnx
from pipeline.liveportrait.backends.runtime import Run, RuntimeBackend

PINS = {"cpu": "onnxruntime==1.32.0", "cuda": "onnxruntime-gpu==1.31.1"}
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}
ELEMENTS = {torch.float32: np.float32, torch.float16: np.float16}
QUIET = 3  # errors only: it warns that optimized files are for this machine only


class OnnxRuntime(RuntimeBackend):
    """Runs graphs that ONNX Runtime has optimized for this machine, and keeps them."""

    name = "onnx"

    def library(self, device: torch.device) -> Any:
        try:
            import onnxruntime  # type: ignore[import-untyped]
        except ImportError as error:
            raise BackendError(f"ONNX Runtime is missing; `pip install {PINS[device.type]}` installs it.") from error
        if PROVIDERS[device.type] not in onnxruntime.get_available_providers():
            raise BackendError(
                "This ONNX Runtime cannot use a GPU. `pip uninstall onnxruntime`, then "
                f"`pip install {PINS[device.type]}` installs one that can."
            )
        return onnxruntime

    def open(self, name: str, network: Exportable) -> Run:
        runtime, device = self._library, self.device
        machine = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else "cuda"
        file = f"{name}.{network.key()}.onnxruntime-{runtime.__version__}-{machine}.onnx"
        path = made(self._folder / file, lambda fresh: optimize(runtime, network, fresh, device))
        return OnnxSession(runtime, path, device)


class OnnxSession:
    """Runs one network; on CUDA in a stream of its own, in order with the caller's."""

    def __init__(self, runtime: Any, path: Path, device: torch.device) -> None:
        """Open a file that is optimized already."""
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        options = _options(runtime)
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = runtime.InferenceSession(str(path), options, providers=[_provider(device, self._stream)])
        if PROVIDERS[device.type] not in self._session.get_providers():
            raise BackendError(
                f"ONNX Runtime cannot use this GPU; `pip install {PINS[device.type]}` installs the version for it."
            )
        self._outputs = {each.name: (TYPES[each.type], each.shape[1:]) for each in self._session.get_outputs()}
        self._run_options = runtime.RunOptions()
        # The streams keep the order, so nothing has to wait for the device.
        self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run contiguous tensors of the graph's types, by name, on the session's device; return the outputs by name."""
        batch = len(next(iter(inputs.values())))
        results = {
            name: torch.empty(batch, *sizes, dtype=dtype, device=self._device)
            for name, (dtype, sizes) in self._outputs.items()
        }
        binding = self._session.io_binding()
        for name, tensor in inputs.items():
            binding.bind_input(name, *_place(tensor))
        for name, tensor in results.items():
            binding.bind_output(name, *_place(tensor))
        with self._in_order():
            self._session.run_with_iobinding(binding, self._run_options)
        return results

    @contextlib.contextmanager
    def _in_order(self) -> Iterator[None]:
        if self._stream is None:
            yield
            return
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        yield
        current.wait_stream(self._stream)


def _place(tensor: Tensor) -> tuple[str, int, type, tuple[int, ...], int]:
    """Return where a tensor is, as ONNX Runtime's bindings need it."""
    device = tensor.device
    return device.type, device.index or 0, ELEMENTS[tensor.dtype], tuple(tensor.shape), tensor.data_ptr()


def optimize(runtime: Any, network: Exportable, path: Path, device: torch.device) -> None:
    """Write the network as ONNX Runtime optimizes it for this machine."""
    raw = path.with_name("exported.onnx")
    write_onnx(network, raw)
    options = _options(runtime)
    options.optimized_model_filepath = str(path)
    runtime.InferenceSession(str(raw), options, providers=[_provider(device, None)])


def _options(runtime: Any) -> Any:
    """Return options with as many threads as PyTorch has, and every optimization."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin after a run take the cores from PyTorch, which then takes half as long again.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = QUIET
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return options


def _provider(device: torch.device, stream: torch.cuda.Stream | None) -> tuple[str, dict[str, str]]:
    settings = {"device_id": str(device.index or 0)} if device.type == "cuda" else {}
    if stream is not None:
        settings["user_compute_stream"] = str(stream.cuda_stream)
    return PROVIDERS[device.type], settings
