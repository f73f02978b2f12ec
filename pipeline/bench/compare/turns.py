"""Run setups in turns, frame by frame, so that changes of the machine's speed affect all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil

from pipeline.bench.compare.inputs import Inputs
from pipeline.bench.compare.runner import PeakMemory, Runner, Shot
from pipeline.bench.compare.setup import RUN_FRAMES, Setup
from pipeline.bench.networks import in_short

STRIDE = 20  # frames between two measured ones, if the video is long enough
LONGEST = 8  # frames in a step
PICTURES = 8  # at most so many frames are compared for quality

Say = Callable[[int, int, str], None]
"""Called with frames done, frames in all, and the name of what is measured now."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    frames: int  # of each setup
    together: int  # setups that take turns with the one they are compared with


@dataclass(eq=False)
class Trial:
    """The results of one setup; incomplete if there is a `reason` why it failed."""

    reason: str | None = None
    ms: list[float] = field(default_factory=list)  # for a frame, by step
    beside: list[float] = field(default_factory=list)  # the same of what it is compared with, in the same turns
    ready: float = 0.0  # seconds from nothing to the first picture
    memory: PeakMemory = field(default_factory=PeakMemory)
    held: list[float | None] = field(default_factory=list)  # bytes that the process holds after each step
    shots: dict[int, Shot] = field(default_factory=dict)  # by number in the footage


class Bench:
    """Measures setups on the same inputs."""

    def __init__(self, inputs: Inputs, effort: Effort, say: Say) -> None:
        self._inputs, self._effort, self._say = inputs, effort, say
        room = max(1, inputs.footage.count - max(LONGEST, RUN_FRAMES[inputs.device.type]) - 1)
        stride = max(1, min(STRIDE, room // effort.frames))
        self._numbers = [stride * (turn + 1) % room for turn in range(effort.frames)]
        self._done, self.total = 0, 0

    def frames(self, setups: Sequence[Setup]) -> int:
        """Return how many frames are drawn for these setups in turns with another one."""
        groups = ceil(len(setups) / self._effort.together)
        sizes = [setup.frames(self._inputs.device) for setup in setups]
        steps = [1 + size * ceil(self._effort.frames / size) for size in sizes]
        return sum(steps) + 1 + groups * self._effort.frames

    def against(self, base: tuple[str, Setup], others: Mapping[Setup, str]) -> tuple[Trial, dict[Setup, Trial]]:
        """Measure `base`, a name and a setup, in turns with each of the others, which are given with their names.

        An error of one of them becomes the reason of its trial.
        """
        name, setup = base
        first, trials = _Run(name, setup), dict[Setup, Trial]()
        first.attempt(partial(first.open, self._inputs))
        self._count(1, name)
        try:
            setups = list(others)
            for start in range(0, len(setups), self._effort.together):
                runs = [_Run(others[each], each) for each in setups[start : start + self._effort.together]]
                self._take_turns(first, runs)
                trials |= {run.setup: run.trial for run in runs}
        finally:
            first.close()
        return first.trial, trials

    def _take_turns(self, first: _Run, runs: Sequence[_Run]) -> None:
        try:
            for run in runs:
                self._count(0, run.name)
                run.attempt(partial(run.open, self._inputs))
                self._count(1, run.name)
            for turn, number in enumerate(self._numbers):
                self._step(first, number)
                for run in runs:
                    if turn % run.size == 0:
                        self._step(run, number)
                for run in runs:
                    run.trial.beside += first.trial.ms[-1:]
        finally:
            for run in runs:
                run.close()

    def _step(self, run: _Run, number: int) -> None:
        self._count(0, run.name)
        run.attempt(partial(run.step, number))
        self._count(run.size, run.name)

    def _count(self, frames: int, name: str) -> None:
        self._done += frames
        self._say(self._done, self.total, name)


class _Run:
    """A setup while it is measured."""

    def __init__(self, name: str, setup: Setup) -> None:
        self.name, self.setup, self.trial = name, setup, Trial()
        self.size = 1
        self._runner: Runner | None = None

    def attempt(self, action: Callable[[], None]) -> None:
        """Call `action`, unless something failed before."""
        if self.trial.reason is None:
            try:
                action()
            except Exception as error:
                self.trial.reason = _reason(error)
                self.close()

    def open(self, inputs: Inputs) -> None:
        """Make it ready."""
        self.size = self.setup.frames(inputs.device)
        self._runner = Runner(self.setup, inputs)
        self.trial.ready = self._runner.ready

    def step(self, number: int) -> None:
        """Time one step; the memory of the first one is measured too."""
        runner = self._runner
        assert runner is not None  # it is open
        step = runner.step if self.trial.ms else runner.weighed_step
        self.trial.ms.append(1000 * step(number))
        self.trial.memory = runner.memory
        self.trial.held.append(runner.held())
        if len(self.trial.shots) < PICTURES:
            self.trial.shots[number] = runner.shot()

    def close(self) -> None:
        """Free it."""
        if self._runner:
            self._runner.close()
            self._runner = None


def _reason(error: Exception) -> str:
    """Return an error's text if it is one of this project's, which are sentences; else its name and first line."""
    own = type(error).__module__.partition(".")[0] in ("pipeline", "realtime")
    return str(error) if own else in_short(error)
