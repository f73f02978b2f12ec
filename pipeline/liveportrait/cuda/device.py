"""A CUDA device for code that must not wait: PyTorch's memory and stream, plus streams and kernels of cuda-python.

Both use the device's primary context. Copies and launches are queued and return at once; `Stream` tells their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

BLOCK = (32, 8, 1)  # threads


class MissingPackage(RuntimeError):
    """A package is not installed; the message says how to install it."""


class Event(Protocol):
    """A point in a stream; one that was never recorded counts as reached."""

    def sync(self) -> None:
        """Sleep until it is reached."""


class Stream(Protocol):
    """A queue whose entries run in order; streams wait for each other only by events."""

    def record(self, event: Any) -> Any:
        """Put the event at the end of the queue: it is reached when all entries before are done."""

    def wait(self, event: Any) -> None:
        """Let later entries begin only when the event is reached."""


class Gpu:
    """A CUDA device and its three streams; for the thread that made it, except `wait`."""

    def __init__(self, device: torch.device, source: Path) -> None:
        """Compile `source`, CUDA C++ with kernels of C linkage. Raise MissingPackage without cuda-python."""
        self._core, self._driver = _cuda_python()
        self.device = torch.zeros(1, device=device).device  # with its index; and PyTorch has made the context
        self._device = self._core.Device(self.device.index)
        self._device.set_current()
        self.copy_in, self.copy_out = self._device.create_stream(), self._device.create_stream()
        options = self._core.ProgramOptions(std="c++17", arch=f"sm_{self._device.arch}")
        self._program = self._core.Program(source.read_text(), "c++", options).compile("cubin")
        self._kernels: dict[str, Any] = {}
        self._compute: dict[int, Stream] = {}

    @property
    def compute(self) -> Stream:
        """Return PyTorch's current stream, in which PyTorch's memory is safe to use."""
        handle = torch.cuda.current_stream(self.device).cuda_stream or 1  # CU_STREAM_LEGACY, the default stream's name
        if handle not in self._compute:
            self._compute[handle] = self._core.Stream.from_handle(handle)
        return self._compute[handle]

    def pinned(self, size: int) -> Tensor:
        """Return (size,) uint8 of pinned host memory, which the device can copy by itself."""
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def event(self) -> Event:
        """Return an event that was not recorded yet."""
        options = self._core.EventOptions
        blocking = "blocking_sync" if "blocking_sync" in options.__dataclass_fields__ else "busy_waited_sync"  # 0.x
        event: Event = self._device.create_event(options(**{blocking: True}))
        return event

    def wait(self, event: Event) -> None:
        """Wait for the event; any thread may call this."""
        self._core.Device(self.device.index).set_current()  # in this thread
        event.sync()

    def copy(self, target: Tensor, source: Tensor, size: int, stream: Any) -> None:
        """Queue a copy of the first `size` bytes, in any direction. Host memory must be pinned."""
        [error] = self._driver.cuMemcpyAsync(target.data_ptr(), source.data_ptr(), size, stream.handle)
        if error:
            raise RuntimeError(f"CUDA could not copy {size} bytes ({error.name}).")

    def launch(self, name: str, grid: tuple[int, int, int], arguments: Sequence[int]) -> None:
        """Queue a kernel in blocks of `BLOCK` on `compute`; its arguments are addresses or integers of 64 bits."""
        if name not in self._kernels:
            self._kernels[name] = self._program.get_kernel(name)
        config = self._core.LaunchConfig(grid=grid, block=BLOCK)
        self._core.launch(self.compute, config, self._kernels[name], *arguments)


def _cuda_python() -> tuple[Any, Any]:
    try:
        from cuda import core
        from cuda.bindings import driver
    except ImportError as error:
        raise MissingPackage("cuda-python is missing; `pip install cuda-python==13.4.4` installs it.") from error
    return core, driver
