"""What the panel asks of a session and is told: freezing, hints, options, a portrait that fades in."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from realtime.session import Session
from realtime.sessions import Sessions
from tests.realtime.test_session import RED, colour, play
from tests.support.fakes import FakePeer, FakeTracker, number_of, portrait


def test_a_frozen_portrait_holds_its_look_and_takes_options() -> None:
    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> tuple[Any, ...]:
        await peer.number()
        reply = json.loads(await peer.ask('{"type": "freeze", "on": true}'))
        for _ in range(10):  # that were on their way
            await peer.picture()
        held = {number_of(await peer.picture()) for _ in range(10)}
        frozen = session.telemetry.stats()["frozen"]
        session.set_portrait(portrait(RED))
        while colour(await peer.picture()) != RED:
            pass
        still = {number_of(await peer.picture()) for _ in range(5)}
        await peer.ask('{"type": "freeze", "on": false}')
        await peer.number(*(number for number in range(1, 256) if number not in held))
        return reply, held, frozen, still, session.telemetry.stats()["frozen"]

    reply, held, frozen, still, after = play(scene)
    assert reply == {"type": "frozen", "on": True}
    assert len(held) == 1 and still == held
    assert (frozen, after) == (True, False)


def test_a_new_portrait_fades_in() -> None:
    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> list[int]:
        await peer.number()
        session.set_portrait(portrait((210, 90, 90)))
        reds: list[int] = []
        while not reds or reds[-1] < 205:
            reds.append(int((await peer.picture())[-8:, -8:, 0].mean()))
        return reds

    reds = play(scene)
    assert any(100 < red < 200 for red in reds)
    assert reds == sorted(reds) or max(a - b for a, b in pairwise(reds)) < 6  # the codec's noise


def test_hints_come_with_the_statistics() -> None:
    class Crowded(FakeTracker):
        faces = 2

    async def scene(sessions: Sessions, peer: FakePeer, session: Session) -> Any:
        await peer.number()
        return json.loads(await peer.ask('{"type": "stats"}'))["stats"]["hint"]

    assert play(scene, tracker=Crowded) == "several"
    assert play(scene) == "border"  # the fakes' face is larger than their picture
