"""Portraits that are ready to be animated: the server's own by name, uploads by the digest of their bytes."""

import asyncio
import hashlib
import io
import os
import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
from PIL import Image

from pipeline.core.animator import Animator, Cue, Portrait
from pipeline.core.options import AnimateOptions
from pipeline.files.animate import read_source
from pipeline.files.idle_clip import TooSlow, write_idle_loop
from pipeline.imaging.source_picture import read_picture

NICENESS = 5
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
LONGEST_NAME = 40  # characters of a user's name for a picture that the name of its file keeps
KEPT = 8  # prepared portraits in memory; a large one takes 50 MB


class UnknownPortrait(KeyError):
    """No portrait has this id, or it made room for newer ones."""

    def __str__(self) -> str:
        return "There is no such portrait here any more; choose the picture again."


@dataclass(frozen=True, eq=False)
class Prepared:
    """A portrait that is ready, and its picture at rest."""

    id: str
    portrait: Portrait
    rest: bytes  # JPEG


class Shelf:
    """The folder of portraits. Creates it if needed; raises OSError if that fails."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def pictures(self) -> dict[str, Path]:
        """Return the files by their ids, sorted by name."""
        files = (path for path in self._folder.iterdir() if path.suffix.lower() in SUFFIXES)
        return {path.stem: path for path in sorted(files)}

    def find(self, data: bytes) -> str | None:
        """Return the id under which this file was stored before, or None."""
        return next((id for id in self.pictures() if id.endswith(_mark(data))), None)

    def store(self, name: str, data: bytes) -> tuple[str, Path]:
        """Store the bytes of a picture file; return its id and path. Raise OSError if that fails."""
        with Image.open(io.BytesIO(data)) as picture:
            suffix = str(picture.format).lower()
        words = re.sub(r"[^\w -]+", "", Path(name).stem).strip()[:LONGEST_NAME] or "portrait"
        id = words + _mark(data)
        path = self._folder / f"{id}.{suffix}"
        path.write_bytes(data)
        return id, path


def _mark(data: bytes) -> str:
    return "-" + hashlib.sha256(data).hexdigest()[:8]


class Portraits:
    """Prepares one picture at a time, in a thread, and keeps the last few, so that going back to one is instant."""

    def __init__(self, animator: Animator, named: Mapping[str, bytes | Path], shelf: Shelf | None = None) -> None:
        """Prepare the first of `named` (id -> file). Raise PortraitError if it cannot be animated.

        `shelf`: where uploads are kept; its pictures are offered like those of `named`.
        """
        self._animator = animator
        self._shelf = shelf
        self._named: dict[str, bytes | Path] = {**named, **(shelf.pictures() if shelf else {})}
        self._turn = asyncio.Lock()
        self._filming = ThreadPoolExecutor(1, "idle-loop", _give_way)
        self._ready: OrderedDict[str, Prepared] = OrderedDict()
        self._loops: OrderedDict[str, asyncio.Future[bytes | None]] = OrderedDict()
        first = next(iter(self._named))
        self.first = self._prepare(first, self._named[first])

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of the server's own portraits."""
        return tuple(self._named)

    async def add(self, data: bytes, name: str = "") -> Prepared:
        """Prepare an uploaded picture. Raise NotAPicture, TooLarge or Unsuitable if it cannot be used."""
        known = self._shelf.find(data) if self._shelf else None
        prepared = await self._prepared(known or hashlib.sha256(data).hexdigest(), data)
        if self._shelf is None or known:
            return prepared
        id, path = self._shelf.store(name, data)
        self._named[id] = path
        self._ready.pop(prepared.id, None)
        self._ready[id] = replace(prepared, id=id)
        return self._ready[id]

    async def get(self, id: str) -> Prepared:
        """Return a portrait. Raise UnknownPortrait if none has this id."""
        if id == self.first.id:
            return self.first
        if id in self._named:
            return await self._prepared(id, self._named[id])
        if id not in self._ready:
            raise UnknownPortrait(id)
        self._ready.move_to_end(id)
        return self._ready[id]

    async def idle_loop(self, id: str) -> bytes | None:
        """Return an .mp4 of an idling portrait; None if the animator is too slow. Raise as `get` does."""
        prepared = await self.get(id)
        if id not in self._loops:
            film = partial(_film, self._animator, prepared.portrait)
            self._loops[id] = asyncio.get_running_loop().run_in_executor(self._filming, film)
        self._loops.move_to_end(id)
        while len(self._loops) > KEPT:
            self._loops.popitem(last=False)
        return await asyncio.shield(self._loops[id])

    async def _prepared(self, id: str, data: bytes | Path) -> Prepared:
        async with self._turn:
            if id not in self._ready:
                self._ready[id] = await asyncio.to_thread(self._prepare, id, data)
            self._ready.move_to_end(id)
            while len(self._ready) > KEPT:
                self._ready.popitem(last=False)
            return self._ready[id]

    def _prepare(self, id: str, data: bytes | Path) -> Prepared:
        picture = read_source(data) if isinstance(data, Path) else read_picture(data)
        portrait = self._animator.prepare(picture)
        (rest,) = self._animator.animate([Cue(portrait, AnimateOptions())])
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rest, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
        return Prepared(id, portrait, jpeg.tobytes())


def _give_way() -> None:
    """Lower the priority of this thread below live sessions; only Linux has priorities for threads."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _film(animator: Animator, portrait: Portrait) -> bytes | None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "idle.mp4"
        try:
            write_idle_loop(path, animator, portrait)
        except TooSlow:
            return None
        return path.read_bytes()
