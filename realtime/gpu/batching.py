"""Decide what the GPU thread does next: pure functions of what waits and what was measured. Begin with `next_step`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeVar

Kind = Literal["motion", "rgb", "i420", "call"]
"""A request is for the motion of a frame, a picture in this layout, or any other call."""

IN_FLIGHT = 2  # batches on the device: one computes while the next one is copied
LONGEST_BATCH = 1 / 60  # s: a late request waits for two batches, together one camera interval at 30 fps
STRAGGLER_SECONDS = 0.002  # the longest wait for one more request
MARGIN = 0.0005  # s: the next batch starts so long before one is done; timed waits oversleep by 0.1 ms
ACTIVE_SECONDS = 0.1  # callers silent for so long are not waited for: three frames at 30 fps
FORGET_SECONDS = 10.0  # older measurements are taken anew
RECOVERY_SECONDS = 10.0  # between two increases after memory ran out
MOST = 8  # requests in a batch, even if memory and time allow more
RISE = 1.1  # see Times.measured


@dataclass(frozen=True, eq=False)
class Request:
    """One request that a thread waits for."""

    kind: Kind
    caller: int  # identifier of the waiting thread
    asked: float  # seconds
    alone: bool = False  # its batch failed, so it is tried again by itself


R = TypeVar("R", bound=Request)


@dataclass(frozen=True, eq=False)
class Flight(Generic[R]):
    """A batch that was started and is not delivered yet; times in seconds."""

    requests: tuple[R, ...]
    started: float
    launched: float  # when the call that started it returned

    @property
    def kind(self) -> Kind:
        return self.requests[0].kind


@dataclass(frozen=True)
class LastServed:
    """The last request of a caller that was served, and when (seconds)."""

    kind: Kind
    time: float


@dataclass(frozen=True)
class Times:
    """How many seconds batches of one kind keep the device busy. Empty at first."""

    seconds: Mapping[int, float] = field(default_factory=dict)  # by size
    taken: Mapping[int, float] = field(default_factory=dict)  # size -> when it was measured last, in seconds

    def measured(self, size: int, seconds: float, now: float) -> Times:
        """Return the times with one more measurement.

        A shorter time counts at once, a longer one raises it by a tenth: late batches are mostly due to the host.
        """
        smooth = min(seconds, RISE * self.seconds.get(size, math.inf))
        taken = {size: when for size, when in self.taken.items() if now - when < FORGET_SECONDS} | {size: now}
        return Times({known: self.seconds[known] for known in taken if known != size} | {size: smooth}, taken)

    def expected(self, size: int) -> float | None:
        """Return the seconds of a batch, by the nearest smaller size or else the next larger one; None: unknown."""
        if not self.seconds:
            return None
        near = max((known for known in self.seconds if known <= size), default=min(self.seconds))
        return self.seconds[near] * max(1.0, size / near)

    @property
    def largest(self) -> int:
        """Return the largest size that is worth it: not too long, and not longer than its requests one by one.

        It is at most one more than was measured, so that sizes are tried one after the other.
        """
        one = self.expected(1)
        if one is None:
            return 1
        sizes = range(2, max(self.seconds) + 2)
        return max((n for n in sizes if (self.expected(n) or 0.0) <= min(LONGEST_BATCH, n * one)), default=1)

    def saving(self, size: int) -> float:
        """Return the seconds saved if one more request joins a batch of `size`; 0 if not measured."""
        if not {1, size, size + 1} <= self.seconds.keys():
            return 0.0
        return max(0.0, self.seconds[size] + self.seconds[1] - self.seconds[size + 1])


@dataclass(frozen=True)
class Room:
    """How many requests of one kind fit into a batch in the memory of the device.

    It starts at one. It grows by one if a batch filled it and twice the memory that the last increase took is free.
    It is halved when memory runs out, and then grows slowly.
    """

    size: int = 1
    free: int = 0  # bytes at the last change
    changed: float = -math.inf  # seconds
    pause: float = 0.0  # seconds between two increases

    def may_grow(self, batch: int, now: float) -> bool:
        """Return whether to check the free memory now, after a batch of this size succeeded."""
        return self.size <= batch and self.size < MOST and now >= self.changed + self.pause

    def grown(self, free: int, now: float) -> Room:
        """Return one more if `free` bytes are enough; else the same, to be checked again later."""
        if free >= 2 * (self.free - free):
            return replace(self, size=self.size + 1, free=free, changed=now)
        return replace(self, changed=now, pause=RECOVERY_SECONDS)

    def exhausted(self, batch: int, now: float) -> Room:
        """Return the room after memory ran out for a batch of this size."""
        return replace(self, size=max(1, batch // 2), changed=now, pause=RECOVERY_SECONDS)


@dataclass(frozen=True)
class Knowledge:
    """What was learnt about batches of one kind."""

    times: Times = Times()
    room: Room = Room()

    @property
    def largest(self) -> int:
        """Return the largest batch that time and memory allow."""
        return min(self.times.largest, self.room.size)

    def delivered(self, size: int, seconds: float, now: float, free: Callable[[], int]) -> Knowledge:
        """Learn from a batch of this size that kept the device busy for `seconds`; `free` counts bytes."""
        room = self.room.grown(free(), now) if self.room.may_grow(size, now) else self.room
        return Knowledge(self.times.measured(size, seconds, now), room)

    def exhausted(self, size: int, now: float) -> Knowledge:
        """Learn that memory ran out for a batch of this size."""
        return replace(self, room=self.room.exhausted(size, now))


@dataclass(frozen=True)
class BatchState(Generic[R]):
    """Everything that the next step depends on. Times are seconds of one clock."""

    now: float
    waiting: Sequence[R]
    flights: Sequence[Flight[R]]  # oldest first
    served: Mapping[int, LastServed]  # by caller, in the order of service
    known: Mapping[Kind, Knowledge]
    delivered: float = -math.inf  # when the last flight ended

    def know(self, kind: Kind) -> Knowledge:
        return self.known.get(kind, Knowledge())


@dataclass(frozen=True, eq=False)
class Start(Generic[R]):
    """Start this batch."""

    batch: tuple[R, ...]


@dataclass(frozen=True)
class Deliver:
    """Wait for the oldest flight and deliver its results."""


@dataclass(frozen=True)
class Wait:
    """Wait for a request, or for so many seconds."""

    seconds: float | None


def next_step(state: BatchState[R]) -> Start[R] | Deliver | Wait:
    """Decide what to do: start a batch when the device has nothing else to do, or just before that happens."""
    batch = next_batch(state)
    if state.flights:
        return _beside(state, batch)
    if not batch:
        return Wait(None)
    hold = min(request.asked for request in batch) + _patience(state, batch) - state.now
    return Wait(hold) if hold > 0 else Start(batch)


def next_batch(state: BatchState[R]) -> tuple[R, ...]:
    """Return the requests that go next: motion first, then the kind of the caller who was served longest ago.

    Motion takes a hundredth of the work of a picture, and a caller who has it can join the next batch of pictures.
    Nobody starves: a caller who was just served goes behind all others.
    """
    turns = {caller: turn for turn, caller in enumerate(state.served)}
    order = sorted(state.waiting, key=lambda r: (r.kind != "motion", turns.get(r.caller, -1), r.asked))
    if not order:
        return ()
    first = order[0]
    if first.alone or first.kind == "call":
        return (first,)
    fellows = [request for request in order if request.kind == first.kind and not request.alone]
    return tuple(fellows[: state.know(first.kind).largest])


def _beside(state: BatchState[R], batch: tuple[R, ...]) -> Start[R] | Deliver | Wait:
    """Decide with flights on the device: keep the batch open until the device is about to need it."""
    newest = state.flights[-1]
    launch = newest.launched - newest.started
    seconds = state.know(newest.kind).times.expected(len(newest.requests)) or 0.0
    blocking = launch > seconds / 2  # as on a CPU: the call that started it did most of the work
    if blocking or len(state.flights) == IN_FLIGHT or (batch and batch[0].kind == "call"):
        return Deliver()
    hold = max(newest.started, state.delivered) + min(seconds, LONGEST_BATCH) - launch - MARGIN - state.now
    if hold > 0:
        return Wait(hold)
    return Start(batch) if batch else Deliver()


def _patience(state: BatchState[R], batch: tuple[R, ...]) -> float:
    """Return how many seconds a batch waits for one more request: as many as that saves, if one is likely to come."""
    kind, size = batch[0].kind, len(batch)
    known = state.know(kind)
    others_idle = size < len(state.waiting)  # requests outside the batch would wait for an idle device
    if others_idle or kind == "call" or batch[0].alone or size >= known.largest or not _expects(state, kind):
        return 0.0
    return min(STRAGGLER_SECONDS, known.times.saving(size))


def _expects(state: BatchState[R], kind: Kind) -> bool:
    """Return whether an active caller is about to send this kind: motion and pictures take turns."""
    busy = {request.caller for request in state.waiting}
    return any(
        state.now - last.time < ACTIVE_SECONDS and (last.kind == "motion") != (kind == "motion")
        for caller, last in state.served.items()
        if caller not in busy
    )
