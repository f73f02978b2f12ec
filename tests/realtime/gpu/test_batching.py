"""What the GPU thread decides: which batch, when, how large, and who is waited for."""

from __future__ import annotations

import pytest

from realtime.gpu.batching import (
    ACTIVE_SECONDS,
    FORGET_SECONDS,
    LONGEST_BATCH,
    MARGIN,
    MOST,
    RECOVERY_SECONDS,
    STRAGGLER_SECONDS,
    BatchState,
    Deliver,
    Flight,
    Knowledge,
    LastServed,
    Request,
    Room,
    Start,
    Times,
    Wait,
    next_batch,
    next_step,
)

A, B, C, D = 1, 2, 3, 4
NOW = 100.0


def timed(*seconds):
    """Times of batches of 1, 2, ...; None: not measured."""
    times = Times()
    for size, value in enumerate(seconds, 1):
        times = times if value is None else times.measured(size, value, NOW)
    return times


def known(*seconds, room=MOST):
    return Knowledge(timed(*seconds), Room(size=room))


def scene(*waiting, flights=(), served=None, delivered=NOW, **kinds):
    return BatchState(NOW, waiting, flights, served or {}, {"motion": known(0.25e-3, 0.25e-3), **kinds}, delivered)


def asks(kind, caller, ago=0.0, alone=False):
    return Request(kind, caller, NOW - ago, alone)


def flight(kind="i420", size=1, started=0.0, launch=0.0001):
    """Begun so many seconds ago."""
    return Flight(tuple(asks(kind, A) for _ in range(size)), NOW - started, NOW - started + launch)


# How long batches take, and how large they may be.


def test_times_fall_at_once_and_rise_by_a_tenth():
    assert timed(0.004).measured(1, 0.002, NOW).seconds == {1: 0.002}
    assert timed(0.004).measured(1, 60.0, NOW).seconds == {1: pytest.approx(0.0044)}


def test_times_that_were_not_repeated_are_forgotten():
    times = timed(0.002, 0.5).measured(1, 0.002, NOW + FORGET_SECONDS)
    assert times.seconds == {1: 0.002}


def test_what_was_not_measured_is_expected_in_proportion():
    assert Times().expected(1) is None
    assert timed(0.002, 0.003).expected(4) == pytest.approx(0.006)
    assert timed(None, None, 0.005).expected(1) == 0.005


@pytest.mark.parametrize(
    ("seconds", "largest"),
    [
        ((), 1),
        ((0.002,), 2),  # one more than was measured
        ((0.002, 0.003), 3),
        ((0.002, 0.0041), 1),  # two by two is slower than one by one
        ((0.002, 0.0045, 0.005), 4),
        ((0.008,), 2),
        ((0.009,), 1),  # two would last longer than half a frame's interval
        ((0.008, 0.016), 2),
        ((8.0,), 1),
        ((None, None, 0.005), 4),
    ],
)
def test_the_largest_batch_that_time_allows(seconds, largest):
    assert LONGEST_BATCH == 1 / 60
    assert timed(*seconds).largest == largest


def test_one_more_request_saves_what_it_would_take_alone():
    assert timed(0.002, 0.003).saving(1) == pytest.approx(0.001)
    assert timed(0.002, 0.005).saving(1) == 0.0
    assert timed(0.002).saving(1) == timed(0.002, 0.003).saving(2) == timed(None, 0.003, 0.004).saving(2) == 0.0


def test_room_grows_with_batches_that_fill_it_while_memory_suffices():
    room, gigabytes = Room(), 2**30
    assert room.may_grow(1, NOW) and not Room(size=3).may_grow(2, NOW)
    room = room.grown(10 * gigabytes, NOW)
    room = room.grown(7 * gigabytes, NOW)  # the last one took 3
    assert (room.size, room.may_grow(3, NOW)) == (3, True)
    room = room.grown(3 * gigabytes, NOW)  # it took 4, and 8 are not free
    assert (room.size, room.may_grow(3, NOW), room.may_grow(3, NOW + RECOVERY_SECONDS)) == (3, False, True)
    assert not Room(size=MOST).may_grow(MOST, NOW)


def test_room_is_halved_when_memory_runs_out_and_comes_back_slowly():
    room = Room(size=8).exhausted(8, NOW)
    assert (room.size, room.may_grow(4, NOW + 9.9), room.may_grow(4, NOW + 10)) == (4, False, True)
    room = room.grown(0, NOW + 10)
    assert (room.size, room.may_grow(5, NOW + 19.9), room.may_grow(5, NOW + 20)) == (5, False, True)
    assert room.exhausted(1, NOW).size == 1


def test_memory_is_asked_for_only_when_there_may_be_more():
    asked = []

    def free():
        asked.append(1)
        return 0

    assert Knowledge(room=Room(size=2)).delivered(1, 0.002, NOW, free) == known(0.002, room=2)
    assert not asked
    grown = Knowledge(room=Room(size=2)).delivered(2, 0.002, NOW, free)
    assert (grown.room.size, asked) == (3, [1])
    assert grown.exhausted(3, NOW).largest == 1


# Which batch.


def test_motion_goes_first_and_is_batched():
    waiting = [asks("i420", A, 0.003), asks("motion", B, 0.002), asks("motion", C, 0.001)]
    assert next_batch(scene(*waiting)) == (waiting[1], waiting[2])


def test_one_layout_a_batch_and_no_more_than_fit():
    waiting = [asks("i420", A, 0.004), asks("rgb", B, 0.003), asks("i420", C, 0.002), asks("i420", D, 0.001)]
    assert next_batch(scene(*waiting, i420=known(0.002, 0.003))) == (waiting[0], waiting[2], waiting[3])
    assert next_batch(scene(*waiting, i420=known(0.002, 0.003, room=2))) == (waiting[0], waiting[2])
    assert next_batch(scene(*waiting)) == (waiting[0],)
    assert next_batch(scene()) == ()


def test_who_was_served_longest_ago_goes_first():
    """Also of those who were served in one batch."""
    waiting = [asks("i420", A, 0.003), asks("i420", B, 0.002), asks("rgb", C, 0.001)]
    served = {B: LastServed("motion", NOW - 0.02), A: LastServed("motion", NOW - 0.02)}
    drawn = known(0.002, 0.003)
    assert next_batch(scene(*waiting, served=served, i420=drawn)) == (waiting[2],)
    assert next_batch(scene(*waiting[:2], served=served, i420=drawn)) == (waiting[1], waiting[0])


def test_a_call_and_a_request_that_failed_in_a_batch_go_alone():
    waiting = [asks("i420", A, 0.003, alone=True), asks("i420", B, 0.002), asks("call", C, 0.001)]
    drawn = known(0.002, 0.003)
    assert next_batch(scene(*waiting, i420=drawn)) == (waiting[0],)
    assert next_batch(scene(*waiting[1:], i420=drawn)) == (waiting[1],)
    assert next_batch(scene(waiting[2], i420=drawn)) == (waiting[2],)


def test_with_more_sessions_than_fit_nobody_starves():
    """Ten sessions, three a batch; the first three ask again at once, the others a batch later."""
    waiting, served, counts = [asks("i420", caller, 1.0) for caller in range(10)], {}, dict.fromkeys(range(10), 0)
    late = []
    for turn in range(100):
        now = NOW + turn
        batch = next_batch(BatchState(now, waiting, (), served, {"i420": known(0.001, 0.001, room=3)}))
        assert len(batch) == 3
        again = [Request("i420", request.caller, now) for request in batch]
        waiting = [request for request in waiting if request not in batch] + late
        waiting, late = waiting + [r for r in again if r.caller < 3], [r for r in again if r.caller >= 3]
        for request in batch:
            served.pop(request.caller, None)
            served[request.caller] = LastServed("i420", now)
            counts[request.caller] += 1
    assert max(counts.values()) - min(counts.values()) <= 1


# When.


def test_alone_a_request_starts_at_once():
    request = asks("i420", A)
    assert next_step(scene(request, i420=known(0.002, 0.003))).batch == (request,)
    assert next_step(scene()) == Wait(None)


@pytest.mark.parametrize(
    ("two", "ago", "hold"),
    [
        (0.003, 0.0, 0.001),  # the saving: 2 + 2 - 3 ms
        (0.003, 0.0004, 0.0006),  # counted from when the first one asked
        (0.0015, 0.0, STRAGGLER_SECONDS),
        (0.003, 0.001, 0.0),
        (0.004, 0.0, 0.0),  # nothing saved
        (None, 0.0, 0.0),  # no saving measured
    ],
)
def test_a_straggler_is_waited_for_as_long_as_it_saves(two, ago, hold):
    served = {A: LastServed("motion", NOW - 0.003), B: LastServed("motion", NOW - 0.003)}
    step = next_step(scene(asks("i420", A, ago), served=served, i420=known(0.002, two)))
    assert (step.seconds if isinstance(step, Wait) else 0.0) == pytest.approx(hold, abs=1e-9)


def test_nobody_is_waited_for_where_nobody_is_about_to_ask():
    def waits(*others, room=MOST, **served):
        step = next_step(scene(asks("i420", A), *others, served=served, i420=known(0.002, 0.003, room=room)))
        return isinstance(step, Wait)

    def scene(*waiting, served, i420):
        callers = {name: LastServed(*last) for name, last in served.items()}
        return BatchState(NOW, waiting, (), callers, {"i420": i420})

    read = ("motion", NOW - 0.001)
    assert waits(b=read)
    assert not waits()
    assert not waits(b=("i420", NOW - 0.001))  # has its picture; motion comes next
    assert not waits(b=("motion", NOW - 1.01 * ACTIVE_SECONDS))  # left
    assert not waits(b=read, room=1)  # full
    assert not waits(asks("rgb", C), b=read)  # the device would idle meanwhile
    assert not isinstance(next_step(scene(asks("call", A), served={"b": read}, i420=known())), Wait)


def test_the_next_batch_starts_just_before_the_last_one_is_done():
    waiting, drawn = asks("i420", B), known(0.003, 0.005)
    ends_in = 0.003 - 0.001 - 0.0001 - MARGIN
    step = next_step(scene(waiting, flights=[flight(started=0.001)], delivered=NOW - 1, i420=drawn))
    assert step == Wait(pytest.approx(ends_in))
    step = next_step(scene(waiting, flights=[flight(started=0.0025)], delivered=NOW - 1, i420=drawn))
    assert step.batch == (waiting,)
    queued = flight(started=0.0025)  # behind one that was delivered just now
    assert next_step(scene(waiting, flights=[queued], delivered=NOW, i420=drawn)) == Wait(
        pytest.approx(0.003 - 0.0001 - MARGIN)
    )


def test_with_nothing_else_waiting_results_are_delivered():
    drawn = known(0.003)
    assert next_step(scene(flights=[flight(started=0.0025)], delivered=0, i420=drawn)) == Deliver()
    assert isinstance(next_step(scene(flights=[flight(started=0.001)], delivered=0, i420=drawn)), Wait)
    assert next_step(scene(flights=[flight()])) == Deliver()  # nothing known


def test_at_most_two_batches_are_in_flight():
    step = next_step(scene(asks("i420", C), flights=[flight(started=0.003), flight()], i420=known(0.003)))
    assert step == Deliver()


def test_where_beginning_is_all_the_work_results_are_delivered_first():
    on_a_cpu = flight(started=0.003, launch=0.0029)
    assert next_step(scene(asks("i420", B), flights=[on_a_cpu], delivered=0, i420=known(0.003))) == Deliver()


def test_a_call_waits_for_what_is_in_flight():
    step = next_step(scene(asks("call", B), flights=[flight(started=0.001)], delivered=0, i420=known(0.003)))
    assert step == Deliver()


def test_an_estimate_that_is_far_off_holds_nothing_up_for_long():
    step = next_step(scene(asks("i420", B), flights=[flight()], delivered=0, i420=known(60.0)))
    assert step == Wait(pytest.approx(LONGEST_BATCH - 0.0001 - MARGIN))


def test_motion_joins_what_is_held_open():
    """Held for the flight's end, the next batch is decided anew: motion that came meanwhile goes first."""
    waiting = [asks("i420", B, 0.001), asks("motion", C)]
    step = next_step(scene(*waiting, flights=[flight(started=0.0025)], delivered=0, i420=known(0.003)))
    assert isinstance(step, Start) and step.batch == (waiting[1],)
