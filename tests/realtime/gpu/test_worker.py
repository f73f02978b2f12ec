"""Many threads, one that works for them. The fake's clock moves only when it draws, so that every batch is certain."""

from __future__ import annotations

import copy
import threading
from contextlib import closing, contextmanager
from functools import partial

import numpy as np
import pytest

from pipeline.core.animator import Cue, DrivingFrame, Motion, Portrait, Reference
from pipeline.core.batched import HOST, DeviceMemory
from pipeline.core.options import AnimateOptions
from realtime.gpu.batching import MOST
from realtime.gpu.gpu_thread import GpuThread, Worker, WorkerClosed
from tests.support.faces import make_face
from tests.support.waiting import PATIENCE

FACE = make_face()
SECOND = 2.0**-14  # the fake's time per request: short and exact in binary


def portrait(number):
    return Portrait(str(number), np.full((1, 1, 3), number, np.uint8), FACE, ())


def cue(number, frame=0):
    return Cue(portrait(number), AnimateOptions(), blend=frame / 256)


def frame(number=0):
    return DrivingFrame(np.full((1, 1, 3), number, np.uint8), make_face(x=number))


def drawn(picture):
    """Portrait and frame that a fake picture shows, and its layout."""
    number, shown, planes = picture.ravel().tolist()
    return number, shown, "i420" if planes else "rgb"


class Fake:
    """Records what it is asked for. `busy` begins a batch and `wait` ends it; either may raise or take its time."""

    name, supports, capabilities = "fake", frozenset({"badge"}), frozenset({"batched"})

    def __init__(self, busy=lambda jobs: None, wait=lambda jobs: None, memory=HOST):
        self.busy, self.wait, self.memory = busy, wait, memory
        self.now, self.log, self.threads = 0.0, [], set()
        self.executor = GpuThread(self.clock)

    def clock(self):
        return self.now

    @property
    def batches(self):
        return [(kind, size) for begun, kind, size in self.log if begun]

    def warm_up(self, progress):
        progress(1, 1)
        return self.executor.run(threading.get_ident)

    def prepare(self, picture):
        self.executor.run(lambda: self.threads.add(threading.get_ident()))
        return portrait(int(picture[0, 0, 0]))

    def drive(self, cue):
        return cue

    def start_motion(self, frames):
        return self._start("motion", frames, lambda frame: Motion(frame.face))

    def start_pictures(self, jobs, layout):
        def draw(cue):
            return np.array([[[cue.portrait.picture[0, 0, 0], cue.blend * 256, layout == "i420"]]], np.uint8)

        return self._start(layout, jobs, draw)

    def _start(self, kind, jobs, answer):
        self.threads.add(threading.get_ident())
        self.log.append((True, kind, len(jobs)))
        self.busy(jobs)

        def finish():
            self.wait(jobs)
            self.now += SECOND * len(jobs)
            self.log.append((False, kind, len(jobs)))
            return [answer(job) for job in jobs]

        return finish


@contextmanager
def working(*settings, **others):
    fake = Fake(*settings, **others)
    with closing(fake.executor) as thread:
        yield fake, Worker(fake, thread)


@contextmanager
def held(worker, requests):
    """The worker is busy, until this many requests wait."""
    begun, go = threading.Event(), threading.Event()
    holder = threading.Thread(target=worker.thread.run, args=(lambda: begun.set() or go.wait(PATIENCE),))
    holder.start()
    assert begun.wait(PATIENCE)
    yield
    with worker.thread._changed:
        assert worker.thread._changed.wait_for(lambda: len(worker.thread._waiting) == requests, PATIENCE)
    go.set()
    holder.join()


def each(function, *arguments):
    """Call in a thread for each argument; the threads, and where their results or errors will be."""
    outcomes = {}

    def call(argument):
        try:
            outcomes[argument] = function(argument)
        except Exception as error:
            outcomes[argument] = error

    threads = [threading.Thread(target=call, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    return threads, outcomes


def join(threads):
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_it_is_an_animator():
    with working() as (_, worker):
        assert (worker.name, worker.supports) == ("fake", {"badge"})
        no_face = DrivingFrame(np.zeros((1, 1, 3), np.uint8), None)
        frames = [no_face, frame(1), no_face, frame(2)]
        motions = worker.read_motion(frames)
        assert [motion and motion.face for motion in motions] == [frame.face for frame in frames]
        assert [drawn(p) for p in worker.animate([cue(7, 1), cue(8, 2)])] == [(7, 1, "rgb"), (8, 2, "rgb")]
        assert [drawn(p) for p in worker.animate([cue(9)], "i420")] == [(9, 0, "i420")]
        assert worker.animate([]) == [] and worker.read_motion([no_face]) == [None]


def test_one_thread_alone_works():
    with working() as (fake, worker):
        steps = []
        thread = worker.warm_up(lambda *step: steps.append(step))
        worker.prepare(np.zeros((1, 1, 3), np.uint8))
        join(each(lambda number: worker.animate([cue(number)]), 1, 2, 3)[0])
        assert fake.threads == {thread} != {threading.get_ident()} and steps == [(1, 1)]
        assert worker.thread.run(lambda: worker.thread.run(threading.get_ident)) == thread


def test_eight_sessions_get_their_own_pictures():
    def session(number):
        for count in range(40):
            seen = frame(number)
            [motion] = worker.read_motion([seen])
            assert motion.face is seen.face
            [picture] = worker.animate([cue(number, count)], "i420")
            assert drawn(picture) == (number, count, "i420")
        return "done"

    with working() as (fake, worker):
        threads, outcomes = each(session, *range(8))
        join(threads)
        assert outcomes == dict.fromkeys(range(8), "done")
        assert sum(size for _, size in fake.batches) == 2 * 8 * 40
        assert max(size for _, size in fake.batches) <= MOST


def test_batches_grow_one_by_one_as_they_prove_worth_it():
    with working() as (fake, worker):
        worker.animate([cue(number) for number in range(36)])
        assert [size for _, size in fake.batches] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]


def test_what_waits_goes_together():
    with working() as (fake, worker):
        worker.animate([cue(0)] * 8, "i420")
        worker.read_motion([frame()] * 8)
        fake.log.clear()
        with held(worker, 5):
            drawing, pictures = each(lambda number: worker.animate([cue(number)], "i420"), 1, 2, 3)
            reading, _ = each(lambda number: worker.read_motion([frame(number)]), 4, 5)
        join(drawing + reading)
        assert fake.batches == [("motion", 2), ("i420", 3)]
        assert {number: drawn(picture)[0] for number, [picture] in pictures.items()} == {1: 1, 2: 2, 3: 3}


def test_the_next_batch_is_begun_before_the_last_one_is_waited_for():
    with working() as (fake, worker):
        worker.animate([cue(1), cue(2)])
        assert [begun for begun, *_ in fake.log] == [True, True, False, False]


def test_on_a_cpu_results_go_out_before_the_next_batch():
    with working(lambda jobs: setattr(fake, "now", fake.now + 8.0)) as (fake, worker):
        worker.animate([cue(1), cue(2), cue(3)])
        assert fake.log == [(begun, "rgb", 1) for begun in (True, False) * 3]


def bad(jobs):
    if any(job.portrait.key == "2" for job in jobs):
        raise ArithmeticError("no picture of 2")


@pytest.mark.parametrize("when", ["busy", "wait"])
def test_a_request_that_fails_fails_alone(when):
    with working() as (fake, worker):
        worker.animate([cue(0)] * 8)
        fake.log.clear()
        setattr(fake, when, bad)
        with held(worker, 3):
            threads, outcomes = each(lambda number: worker.animate([cue(number)]), 1, 2, 3)
        join(threads)
        assert sorted(size for _, size in fake.batches) == [1, 1, 1, 3]
        assert [drawn(outcomes[number][0])[0] for number in (1, 3)] == [1, 3]
        assert isinstance(outcomes[2], ArithmeticError)
        assert drawn(worker.animate([cue(4)])[0])[0] == 4


def test_too_few_results_are_an_error_and_not_a_caller_that_waits_for_ever():
    with working() as (fake, worker):
        fake.start_motion = lambda frames: lambda: []
        with pytest.raises(ValueError):
            worker.read_motion([frame()])


class OutOfMemory(RuntimeError):
    pass


def test_out_of_memory_halves_the_batches_and_loses_nothing():
    def few(jobs):
        if len(jobs) > 4:
            raise OutOfMemory

    with working(memory=DeviceMemory(lambda: 0, OutOfMemory)) as (fake, worker):
        worker.animate([cue(0)] * 36)
        fake.busy = few
        fake.log.clear()
        pictures = worker.animate([cue(number) for number in range(12)])
        assert [drawn(picture)[0] for picture in pictures] == list(range(12))
        assert fake.batches[0] == ("rgb", 7) and max(size for _, size in fake.batches[1:]) == 3
        fake.log.clear()
        worker.animate([cue(number) for number in range(9)])
        assert [size for _, size in fake.batches] == [3, 3, 3]


def test_a_single_request_without_memory_is_told():
    def never(jobs):
        raise OutOfMemory("full")

    memory = DeviceMemory(lambda: 0, OutOfMemory)
    with working(never, memory=memory) as (_, worker), pytest.raises(OutOfMemory, match="full"):
        worker.animate([cue(1)])


def test_batches_do_not_outgrow_the_memory():
    free = iter([200, 160, 70])  # the third request took 90, and 180 are not free
    with working(memory=DeviceMemory(lambda: next(free), OutOfMemory)) as (fake, worker):
        worker.animate([cue(0)] * 40)
        assert max(size for _, size in fake.batches) == 3


def test_errors_of_calls_are_the_callers():
    with working() as (_, worker):
        with pytest.raises(ZeroDivisionError):
            worker.thread.run(lambda: 1 / 0)
        assert worker.thread.run(lambda: 5) == 5


def test_close_delivers_what_was_begun_and_refuses_the_rest():
    threads = threading.active_count()
    begun, go = threading.Event(), threading.Event()
    fake = Fake(wait=lambda jobs: begun.set() or go.wait(PATIENCE))
    worker = Worker(fake, fake.executor)
    first, pictures = each(lambda number: worker.animate([cue(number)]), 1)
    assert begun.wait(PATIENCE)
    rest, refused = each(lambda number: worker.animate([cue(number)]), 2, 3)
    with worker.thread._changed:
        assert worker.thread._changed.wait_for(lambda: len(worker.thread._waiting) == 2, PATIENCE)
    closer = threading.Thread(target=worker.thread.close)
    closer.start()
    with worker.thread._changed:
        assert worker.thread._changed.wait_for(lambda: worker.thread._closing, PATIENCE)
    go.set()
    join([*first, *rest, closer])
    assert drawn(pictures[1][0])[0] == 1
    assert all(isinstance(error, WorkerClosed) for error in refused.values()) and len(refused) == 2
    worker.thread.close()
    for late in (
        lambda: worker.animate([cue(1)]),
        lambda: worker.read_motion([frame()]),
        lambda: worker.thread.run(int),
    ):
        with pytest.raises(WorkerClosed, match="closed"):
            late()
    assert threading.active_count() == threads


def test_statistics():
    with working() as (_, worker):
        worker.thread.run(lambda: None)
        before = worker.thread.stats()
        worker.animate([cue(0)] * 4)
        worker.read_motion([frame()])
        after = worker.thread.stats()
        assert before.batches == {("call", 1): 1}
        assert after.batches == {("call", 1): 1, ("rgb", 1): 2, ("rgb", 2): 1, ("motion", 1): 1}
        assert after.seconds - before.seconds == after.busy_seconds - before.busy_seconds == 5 * SECOND
        # The pair waited for the first; the second was begun with it.
        assert after.waited_seconds - before.waited_seconds == (1 + 1) * SECOND


# LivePortrait itself.


def performance(animator, portrait, step):
    """Three pictures of `portrait`, driven by someone who becomes brighter by `step` levels a picture."""
    neutral, *moved = (
        animator.read_motion([DrivingFrame(np.full((512, 512, 3), 60 + count * step, np.uint8), FACE)])[0]
        for count in range(4)
    )
    reference = Reference(neutral, FACE.shape, FACE.pose, FACE.eye_ratio)
    options = AnimateOptions(badge=False, paste_back=False)
    return [animator.animate([Cue(portrait, options, m, reference, 1.0)], "i420")[0] for m in moved]


def together_and_alone(networks, pictures, device="cpu"):
    """The pictures (session, frame, ...) of four sessions with two portraits, in threads and one after the other."""
    import torch

    from pipeline.liveportrait.backends.registry import builder
    from pipeline.load_liveportrait import assemble

    with closing(GpuThread()) as thread:
        animator = assemble(None, networks, builder("eager", torch.device(device)), size=64, executor=thread)
        portraits = [animator.portrait(picture, FACE) for picture in pictures]
        sessions = [(portraits[number % 2], 15 * (number + 1)) for number in range(4)]
        alone = [thread.run(partial(performance, animator, *session)) for session in sessions]
        worker = Worker(animator, thread)
        worker.warm_up(lambda *_: None)
        threads, together = each(lambda number: performance(worker, *sessions[number]), *range(4))
        join(threads)
    return np.array([together[number] for number in range(4)], int), np.array(alone, int)


def test_liveportrait_draws_together_what_it_draws_alone(astronaut):
    pytest.importorskip("torch", reason="LivePortrait needs PyTorch")
    from tests.support.tiny_liveportrait import tiny_networks

    together, alone = together_and_alone(tiny_networks(), (astronaut, astronaut[::-1].copy()))
    assert np.abs(together - alone).max() <= 1
    assert together.shape == (4, 3, 96, 64) and len({session.tobytes() for session in alone}) == 4


@pytest.mark.gpu
def test_liveportrait_on_a_gpu_draws_together_what_it_draws_alone(astronaut, stand_in_networks):
    networks = copy.deepcopy(stand_in_networks)
    together, alone = together_and_alone(networks, (astronaut, astronaut[::-1].copy()), "cuda")
    assert np.abs(together - alone).max() <= 2
    assert len({session.tobytes() for session in alone}) == 4
