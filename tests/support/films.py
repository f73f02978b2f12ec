"""Pictures and sound to record in tests, and the recording read back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.core.animator import Planes
from pipeline.imaging.i420 import to_planes
from realtime.endpoints.output import ShownPicture
from realtime.endpoints.recorder import MOST_WAITING, Heard, Recorder
from realtime.endpoints.soundtrack import RATE

SIDE = 64
FRAME = RATE // 50


def piece(level: float, samples: int = FRAME, layout: str = "stereo", rate: int = RATE) -> av.AudioFrame:
    """Return audio as Opus decoders do: interleaved, 16 bits."""
    channels = 2 if layout == "stereo" else 1
    frame = av.AudioFrame.from_ndarray(np.full((1, samples * channels), round(level * 32768), np.int16), "s16", layout)
    frame.sample_rate = rate
    return frame


def gray(level: int, side: int = SIDE) -> Planes:
    return to_planes(np.full((side, side, 3), level, np.uint8))


def shown(level: int, at: float, side: int = SIDE, driver: av.VideoFrame | None = None) -> ShownPicture:
    """Return a gray picture shown `at` seconds."""
    return ShownPicture(gray(level, side), 100 + at, driver)


def heard(level: float, at: float) -> Heard:
    return Heard(piece(level), 100 + at)


def performance(seconds: int, pictures: Sequence[Planes] = (gray(40),)) -> Iterator[ShownPicture | Heard]:
    """Yield 30 pictures and 50 audio frames per second; each second starts with a flash and a click of 20 ms."""
    flash = gray(230, pictures[0].shape[1])
    for n in range(seconds * 150):
        if n % 5 == 0:
            yield ShownPicture(flash if n % 150 == 0 else pictures[n // 5 % len(pictures)], 100 + n / 150, None)
        if n % 3 == 0:
            yield heard(0.5 if n % 150 == 0 else 0.0, n / 150)


def record(path: Path, items: Iterable[ShownPicture | Heard], **options: Any) -> dict[str, Any]:
    """Record all items as fast as the recorder takes them; return the last report."""

    async def run() -> dict[str, Any]:
        recorder = Recorder(path, **{"room": lambda: None} | options)
        try:
            for item in items:
                while recorder._waiting.qsize() > MOST_WAITING // 2:
                    time.sleep(0.0005)
                if isinstance(item, ShownPicture):
                    recorder.show(item)
                else:
                    recorder.add_audio(item.audio, item.time)
        finally:
            await recorder.close()
        return recorder.report()

    return asyncio.run(run())


@dataclass
class Film:
    """The content of a recording."""

    pictures: list[np.ndarray]
    times: list[float]
    sound: np.ndarray  # samples of the left channel
    sound_begin: float
    comment: str

    @property
    def levels(self) -> list[int]:
        return [round(float(picture.mean())) for picture in self.pictures]

    def flashes(self) -> list[float]:
        return [time for time, level in zip(self.times, self.levels, strict=True) if level > 128]

    def clicks(self) -> list[float]:
        loud = np.flatnonzero(self.sound > 0.25) / 48000 + self.sound_begin
        return [float(at) for n, at in enumerate(loud) if n == 0 or at - loud[n - 1] > 0.5]


def read(path: Path) -> Film:
    pictures, times, samples, begin = [], [], [np.zeros(0)], None
    with av.open(str(path)) as container:
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                pictures.append(frame.to_ndarray(format="rgb24"))
                times.append(frame.time)
            else:
                begin = frame.time if begin is None else begin
                samples.append(frame.to_ndarray()[0])
        return Film(pictures, times, np.concatenate(samples), begin or 0.0, container.metadata.get("comment", ""))
