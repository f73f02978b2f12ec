"""The one thread that works on the device for all sessions, batch by batch. See `GpuThread._run` first.

CUDA graphs belong to the thread that captured them, and pictures that are drawn together cost less. So every
session asks from its own thread and waits; one thread gathers the requests, and is the only one to use the device.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic

from pipeline.core.animator import Cue, DrivingFrame, Layout, Motion, Picture
from pipeline.core.batched import HOST, BatchedAnimator, DeviceMemory, Job, Result
from realtime.gpu import batching
from realtime.gpu.batching import ACTIVE_SECONDS, Deliver, Kind, Start

Begin = Callable[[list[Any]], Callable[[], list[Any]]]
"""Starts a batch, and returns a function that waits for the results, one for each request, in order."""


class WorkerClosed(RuntimeError):
    """The GPU thread has ended; what was still waiting fails with this."""

    def __init__(self) -> None:
        super().__init__("The animator was closed. Start the server again to draw.")


@dataclass(frozen=True)
class WorkerStats:
    """Totals since the thread was made."""

    seconds: float
    busy_seconds: float  # with at least one batch started and not delivered
    waited_seconds: float  # sum over requests, until their batch started
    batches: Mapping[tuple[Kind, int], int]  # how many of each kind and size


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pending(batching.Request):
    payload: Any
    answer: Future[Any]
    begin: Begin
    memory: DeviceMemory


@dataclass(frozen=True, eq=False)
class _InFlight(batching.Flight[_Pending]):
    finish: Callable[[], list[Any]]


class GpuThread:
    """An Executor for any number of threads; begins when it is first asked and ends with `close`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._closing = False
        self._waiting: list[_Pending] = []
        self._flights: list[_InFlight] = []
        self._served: dict[int, batching.LastServed] = {}
        self._known: defaultdict[Kind, batching.Knowledge] = defaultdict(batching.Knowledge)
        self._made = self._delivered = clock()
        self._busy = self._waited = 0.0
        self._batches: Counter[tuple[Kind, int]] = Counter()
        # A daemon, so that the process can end if the start fails elsewhere.
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def run(self, function: Callable[[], Result]) -> Result:
        """Return the result of `function`, called in this thread between batches. Raise WorkerClosed after `close`."""
        if threading.current_thread() is self._thread:
            return function()
        result: Result = self.ask("call", [function], _call)[0]
        return result

    def ask(self, kind: Kind, payloads: Sequence[Any], begin: Begin, memory: DeviceMemory = HOST) -> list[Any]:
        """Return a result for each payload, in order, once the batches that `begin` starts have them.

        A batch may hold requests of other threads: `begin` is the same for all requests of one kind. `memory` limits
        its size. Raise WorkerClosed after `close`, and any error of a batch of this request alone.
        """
        caller, now = threading.get_ident(), self._clock()
        asked = [
            _Pending(kind, caller, now, payload=payload, answer=Future(), begin=begin, memory=memory)
            for payload in payloads
        ]
        with self._changed:
            if self._closing:
                raise WorkerClosed
            if self._thread.ident is None:
                self._thread.start()
            self._waiting += asked
            self._changed.notify_all()
        return [request.answer.result() for request in asked]

    def stats(self) -> WorkerStats:
        """Return the totals so far."""
        with self._changed:
            seconds = self._clock() - self._made
            return WorkerStats(seconds, self._busy, self._waited, dict(self._batches))

    def close(self) -> None:
        """End the thread. Started batches are delivered, other requests fail with WorkerClosed. May be called again."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    # From here on, everything runs in the thread.

    def _run(self) -> None:
        try:
            while step := self._next_step():
                if isinstance(step, Start):
                    self._start(step.batch)
                else:
                    self._deliver()
            while self._flights:
                self._deliver()
        finally:
            with self._changed:
                self._closing = True
                left, self._waiting = [*self._waiting, *(r for f in self._flights for r in f.requests)], []
            for request in left:
                request.answer.set_exception(WorkerClosed())

    def _next_step(self) -> Start[_Pending] | Deliver | None:
        """Wait for something to do. Return None if there will be nothing more."""
        with self._changed:
            while not self._closing:
                now = self._clock()
                known = self._waiting, self._flights, self._served, self._known, self._delivered
                step = batching.next_step(batching.BatchState(now, *known))
                if not isinstance(step, batching.Wait):
                    if isinstance(step, Start):
                        self._take(step.batch, now)
                    return step
                self._changed.wait(step.seconds)
        return None

    def _take(self, batch: tuple[_Pending, ...], now: float) -> None:
        self._waiting = [request for request in self._waiting if request not in batch]
        for request in batch:
            self._served.pop(request.caller, None)  # so that this caller comes last
            self._served[request.caller] = batching.LastServed(request.kind, now)
        self._served = {caller: last for caller, last in self._served.items() if now - last.time < ACTIVE_SECONDS}
        self._waited += sum(now - request.asked for request in batch)

    def _start(self, batch: tuple[_Pending, ...]) -> None:
        started = self._clock()
        try:
            finish = batch[0].begin([request.payload for request in batch])
        except Exception as error:
            self._fail(batch, error)
        else:
            self._flights.append(_InFlight(batch, started, self._clock(), finish))

    def _deliver(self) -> None:
        flight = self._flights.pop(0)
        try:
            answers = list(zip(flight.requests, flight.finish(), strict=True))
        except Exception as error:
            self._fail(flight.requests, error)
            return
        self._learn(flight)
        for request, result in answers:
            request.answer.set_result(result)

    def _learn(self, flight: _InFlight) -> None:
        """Learn from a delivered batch how long it kept the device busy, and that memory sufficed."""
        now, kind, size = self._clock(), flight.kind, len(flight.requests)
        busy = now - max(flight.started, self._delivered)
        self._delivered = now
        with self._changed:
            self._busy += busy
            self._batches[kind, size] += 1
        if kind != "call":  # no two calls are alike
            self._known[kind] = self._known[kind].delivered(size, busy, now, flight.requests[0].memory.free)

    def _fail(self, batch: tuple[_Pending, ...], error: Exception) -> None:
        """Try the requests of a batch one by one, so that one that fails does not fail the others."""
        kind, size = batch[0].kind, len(batch)
        if isinstance(error, batch[0].memory.exhausted):
            self._known[kind] = self._known[kind].exhausted(size, self._clock())
        if size == 1:
            batch[0].answer.set_exception(error)
            return
        with self._changed:
            self._waiting += [replace(request, alone=True) for request in batch]


def _call(functions: list[Callable[[], Any]]) -> Callable[[], list[Any]]:
    results = [function() for function in functions]
    return lambda: results


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
