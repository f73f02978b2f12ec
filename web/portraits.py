"""Portraits that were made ready: the server's own by name, uploads by the digest of their bytes."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import cv2

from pipeline.animator import AnimateOptions, Animator, Cue, Portrait
from pipeline.portrait import read_picture

KEPT = 8  # prepared portraits in memory; a large one takes 50 MB


class UnknownPortrait(KeyError):
    """No portrait has this id, or it was forgotten in favour of newer ones."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A portrait and what it looks like at rest."""

    id: str
    portrait: Portrait
    rest: bytes  # JPEG


class Portraits:
    """Prepares in a thread, one picture at a time, and keeps the last few: going back to one is instant."""

    def __init__(self, animator: Animator, named: Mapping[str, bytes]) -> None:
        """Prepares the first of `named` (id -> file) at once. Raises PortraitError where it cannot be animated."""
        self._animator = animator
        self._named = named
        self._turn = asyncio.Lock()
        self._ready: OrderedDict[str, Prepared] = OrderedDict()
        self.names = tuple(named)
        self.first = self._prepare(self.names[0], named[self.names[0]])

    async def add(self, data: bytes) -> Prepared:
        """Make an uploaded picture ready. Raises NotAPicture, TooLarge or Unsuitable."""
        return await self._prepared(hashlib.sha256(data).hexdigest(), data)

    async def get(self, id: str) -> Prepared:
        """Raises UnknownPortrait."""
        if id == self.first.id:
            return self.first
        if id in self._named:
            return await self._prepared(id, self._named[id])
        if id not in self._ready:
            raise UnknownPortrait(id)
        self._ready.move_to_end(id)
        return self._ready[id]

    async def _prepared(self, id: str, data: bytes) -> Prepared:
        async with self._turn:
            if id not in self._ready:
                self._ready[id] = await asyncio.to_thread(self._prepare, id, data)
            self._ready.move_to_end(id)
            while len(self._ready) > KEPT:
                self._ready.popitem(last=False)
            return self._ready[id]

    def _prepare(self, id: str, data: bytes) -> Prepared:
        portrait = self._animator.prepare(read_picture(data))
        (rest,) = self._animator.animate([Cue(portrait, AnimateOptions())])
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rest, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
        return Prepared(id, portrait, jpeg.tobytes())
