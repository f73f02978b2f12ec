"""An animator for many sessions around one that batches: what touches the device goes to the GPU thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Generic

from pipeline.core.animator import Cue, DrivingFrame, Layout, Motion, Picture
from pipeline.core.batched import BatchedAnimator, Job
from realtime.gpu.gpu_thread import GpuThread


class Worker(Generic[Job]):
    """An Animator for any number of threads, whose requests are drawn together."""

    def __init__(self, animator: BatchedAnimator[Job], thread: GpuThread) -> None:
        """Take an animator that was made with `thread` as its executor; the thread is for this one alone."""
        self.name, self.supports, self.capabilities = animator.name, animator.supports, animator.capabilities
        self.warm_up, self.prepare = animator.warm_up, animator.prepare
        self._animator, self.thread = animator, thread

    def read_motion(self, frames: Sequence[DrivingFrame]) -> list[Motion | None]:
        animator, seen = self._animator, [frame for frame in frames if frame.face]
        found = iter(self.thread.ask("motion", seen, animator.start_motion, animator.memory))
        return [next(found) if frame.face else None for frame in frames]

    def animate(self, cues: Sequence[Cue], layout: Layout = "rgb") -> list[Picture]:
        animator, jobs = self._animator, [self._animator.drive(cue) for cue in cues]
        return self.thread.ask(layout, jobs, partial(animator.start_pictures, layout=layout), animator.memory)
