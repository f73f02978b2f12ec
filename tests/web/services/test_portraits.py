import asyncio

import pytest

from pipeline.imaging.source_picture import NotAPicture, Unsuitable
from tests.support.web_app import PickyAnimator, picture_file
from web.services import portraits
from web.services.portraits import Portraits, UnknownPortrait


class CountingAnimator(PickyAnimator):
    def __init__(self) -> None:
        super().__init__()
        self.prepared = 0

    def prepare(self, picture):
        self.prepared += 1
        return super().prepare(picture)


def shelf() -> tuple[Portraits, CountingAnimator]:
    animator = CountingAnimator()
    return Portraits(animator, {"gray": picture_file(90), "light": picture_file(200)}), animator


def test_the_first_is_ready_at_once():
    ready, animator = shelf()
    assert (ready.names, ready.first.id, animator.prepared) == (("gray", "light"), "gray", 1)
    assert asyncio.run(ready.get("gray")) is ready.first
    assert animator.prepared == 1


def test_a_first_without_a_face_is_told_at_the_start():
    with pytest.raises(Unsuitable):
        Portraits(PickyAnimator(), {"black": picture_file(0)})


def test_each_picture_is_prepared_once():
    async def use() -> None:
        ready, animator = shelf()
        first, second, other = await asyncio.gather(
            ready.add(picture_file(100)), ready.add(picture_file(100)), ready.add(picture_file(101))
        )
        assert first is second is await ready.get(first.id)
        assert other.id != first.id
        assert animator.prepared == 3
        assert (await ready.get("light")).portrait.picture.max() == 200
        assert await ready.get("light") is await ready.get("light")
        assert animator.prepared == 4

    asyncio.run(use())


def test_the_least_recently_used_is_forgotten():
    async def use() -> None:
        ready, animator = shelf()
        ids = [(await ready.add(picture_file(level))).id for level in range(100, 100 + portraits.KEPT)]
        await ready.get(ids[0])
        await ready.add(picture_file(50))
        with pytest.raises(UnknownPortrait):
            await ready.get(ids[1])
        count = animator.prepared
        await ready.get(ids[0])
        assert animator.prepared == count
        await ready.add(picture_file(101))  # the forgotten one, again
        assert animator.prepared == count + 1

    asyncio.run(use())


def test_a_failure_is_not_kept():
    async def use() -> None:
        ready, animator = shelf()
        for data, error in ((b"words", NotAPicture), (picture_file(0), Unsuitable), (picture_file(0), Unsuitable)):
            with pytest.raises(error):
                await ready.add(data)
        assert animator.prepared == 3
        assert (await ready.add(picture_file(9))).rest.startswith(b"\xff\xd8")

    asyncio.run(use())
