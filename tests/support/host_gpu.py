"""A GPU simulated on the CPU: the real kernels, compiled as C++, on streams that wait only for events."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import torch

from pipeline.liveportrait.cuda.device import BLOCK
from pipeline.liveportrait.cuda.pixels import KERNELS


def compiled(folder):
    """Compile the kernels for the CPU and load them."""
    library, source = folder / "kernels.so", Path(__file__).with_name("host_kernels.cpp")
    options = ["-std=c++17", "-O2", "-shared", "-fPIC", f"-I{KERNELS.parent}"]
    subprocess.run(["g++", *options, str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


class HostEvent:
    """A position in a stream's queue."""

    def __init__(self):
        self.stream, self.place = None, 0

    def sync(self):
        if self.stream:
            self.stream.run(self.place)


class HostStream:
    """Runs queued work as late as events allow, or at once if `eager`."""

    def __init__(self, eager):
        self._eager, self._queue, self._done = eager, [], 0

    def add(self, work):
        self._queue.append(work)
        if self._eager:
            self.run(len(self._queue))

    def record(self, event):
        event.stream, event.place = self, len(self._queue)

    def wait(self, event):
        if event.stream:
            self.add(lambda stream=event.stream, place=event.place: stream.run(place))

    def run(self, place):
        while self._done < place:
            self._done += 1
            self._queue[self._done - 1]()


class HostGpu:
    """A simulated GPU; `eager` names the streams that run work at once."""

    device = torch.device("cpu")

    def __init__(self, library, eager=()):
        self._library, self.allocated = library, 0
        self.copy_in, self.copy_out, self.compute = (
            HostStream(name in eager) for name in ("copy_in", "copy_out", "compute")
        )

    def pinned(self, size):
        self.allocated += size
        return torch.full((size,), 0xEE, dtype=torch.uint8)

    def event(self):
        return HostEvent()

    def wait(self, event):
        event.sync()

    def copy(self, target, source, size, stream):
        stream.add(lambda: ctypes.memmove(target.data_ptr(), source.data_ptr(), size))

    def launch(self, name, grid, arguments):
        run, values = getattr(self._library, f"run_{name}"), (grid, BLOCK, arguments)
        self.compute.add(lambda: run(*((ctypes.c_int64 * len(value))(*value) for value in values)))

    def finish(self):
        """Run all queued work."""
        for stream in (self.compute, self.copy_out):
            event = HostEvent()
            stream.record(event)
            event.sync()
