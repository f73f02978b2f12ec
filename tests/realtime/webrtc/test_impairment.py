"""A bad network: the same seed gives the same, shares and delays are what was asked for, order is kept."""

from __future__ import annotations

import asyncio

import pytest

from realtime.webrtc.impairment import QUEUE, BadImpairment, Delivery, Impairment, Link
from realtime.webrtc.settings import MediaSettings
from tests.realtime.test_session import play
from tests.support.fakes import FakePeer, in_order

COUNT = 20_000


def arrivals(impairment: Impairment, seed: int = 1) -> list[float | None]:
    """Of a datagram every millisecond."""
    link = Link(impairment, seed)
    return [link.arrival(index / 1000) for index in range(COUNT)]


def test_the_same_seed_decides_the_same():
    bad = Impairment(0.1, 0.04, 0.01)
    assert arrivals(bad) == arrivals(bad)
    assert arrivals(bad) != arrivals(bad, seed=2)


def test_a_good_link_delivers_at_once():
    assert arrivals(Impairment()) == [index / 1000 for index in range(COUNT)]


def test_the_share_of_loss_is_kept():
    lost = arrivals(Impairment(loss=0.02)).count(None)
    assert lost / COUNT == pytest.approx(0.02, abs=0.003)


def test_half_of_the_delay_is_added_each_way():
    late = [arrival - index / 1000 for index, arrival in enumerate(arrivals(Impairment(delay=0.04))) if arrival]
    assert late == pytest.approx([0.02] * len(late))


def test_jitter_is_within_its_bounds_and_keeps_the_order():
    came = [arrival for arrival in arrivals(Impairment(delay=0.04, jitter=0.01)) if arrival is not None]
    assert came == sorted(came)
    late = [arrival - index / 1000 for index, arrival in enumerate(came)]
    assert min(late) >= 0.01 and max(late) <= 0.03 + 1e-9
    assert max(late) - min(late) > 0.01


def test_loss_does_not_change_the_others_delay():
    same = Impairment(delay=0.04, jitter=0.0)
    lossy = arrivals(Impairment(loss=0.5, delay=0.04))
    assert all(came in (None, whole) for came, whole in zip(lossy, arrivals(same), strict=True))


@pytest.mark.parametrize("wrong", [{"loss": 1.0}, {"loss": -0.1}, {"delay": -1.0}, {"jitter": 11.0}])
def test_what_cannot_be_meant_is_a_sentence(wrong):
    with pytest.raises(BadImpairment, match=r"\.$"):
        Impairment(**wrong)


def test_datagrams_on_their_way_are_bounded_and_delivered_in_order():
    async def run() -> list[int]:
        came: list[int] = []
        delivery = Delivery(Link(Impairment(delay=0.05, jitter=0.02), 1), came.append)
        for number in range(QUEUE + 500):
            delivery.send(number)
        while len(came) < QUEUE:
            await asyncio.sleep(0.01)
        return came

    assert asyncio.run(run()) == list(range(QUEUE))


def test_a_session_works_over_a_bad_network():
    async def scene(sessions, peer: FakePeer, session):
        return [await peer.number() for _ in range(10)]

    bad = MediaSettings(strict=True, impairment=Impairment(0.02, 0.04, 0.005))
    numbers = play(scene, media=bad)
    assert in_order(numbers)
