"""What an animator that computes on a device offers, so that one thread can work for many sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pipeline.core.animator import Animator, Cue, DrivingFrame, Layout, Motion, Picture

Job = TypeVar("Job")
Result = TypeVar("Result")


class Executor(Protocol):
    """A thread that runs what touches the device."""

    def run(self, function: Callable[[], Result]) -> Result:
        """Return the result of `function`, called in that thread; raise what it raises."""


class CallerThread:
    """An executor that runs everything at once, in the thread that asks."""

    def run(self, function: Callable[[], Result]) -> Result:
        return function()


@dataclass(frozen=True)
class DeviceMemory:
    """What limits the size of batches."""

    free: Callable[[], int]  # bytes
    exhausted: type[Exception]  # raised when there is too little


HOST = DeviceMemory(lambda: 0, MemoryError)  # unknown: memory does not limit batches


class BatchedAnimator(Animator, Protocol[Job]):
    """An animator whose work can be begun without waiting for it.

    `start_motion` and `start_pictures` return a function that waits for the results and returns them, in order. At
    most two of these are open at once, and they are called in the order in which they were begun. Both run in the
    thread of the executor that the animator was made with; `drive` may be called from any thread.
    """

    @property
    def memory(self) -> DeviceMemory:
        """Return what limits the size of batches."""

    def drive(self, cue: Cue) -> Job:
        """Return what `start_pictures` needs of a cue, computed on the host alone."""

    def start_motion(self, frames: Sequence[DrivingFrame]) -> Callable[[], list[Motion | None]]:
        """Begin `read_motion`."""

    def start_pictures(self, jobs: Sequence[Job], layout: Layout) -> Callable[[], list[Picture]]:
        """Begin `animate`."""
