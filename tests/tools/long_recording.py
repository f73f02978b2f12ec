"""Measure sync and cost of a long recording: `python -m tests.tools.long_recording [MINUTES]`.

A portrait of 512 x 512 sways, and flashes and clicks once a second; it is recorded as fast as the encoder allows.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from pipeline.core.animator import Planes
from pipeline.imaging.i420 import to_planes
from pipeline.imaging.source_picture import default_portrait, read_picture
from tests.support.films import performance, record

SWAYS = 90  # different pictures


def swaying() -> list[Planes]:
    portrait = read_picture(default_portrait())
    turns = np.sin(np.arange(SWAYS) * (2 * np.pi / SWAYS))
    return [to_planes(np.roll(portrait, (round(6 * turn), round(12 * turn)), (0, 1))) for turn in turns]


def offsets(path: Path) -> list[float]:
    """Return the milliseconds from each flash to its click."""
    flashes: list[float] = []
    clicks: list[float] = []
    with av.open(str(path)) as container:
        for frame in container.decode():
            levels = frame.to_ndarray()
            if isinstance(frame, av.VideoFrame):
                flashes += [frame.time] if levels[: frame.height].min() > 200 else []
            elif (loud := np.flatnonzero(levels[0] > 0.25)).size:
                at = frame.time + loud[0] / frame.sample_rate
                clicks += [at] if not clicks or at - clicks[-1] > 0.5 else []
    return [(click - flash) * 1000 for flash, click in zip(flashes, clicks, strict=True)]


def main(minutes: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "r.mp4"
        began, spent = time.perf_counter(), time.process_time()
        report = record(path, performance(minutes * 60, swaying()), audio=True)
        began, spent = time.perf_counter() - began, time.process_time() - spent
        found = offsets(path)
    pictures = round(report["seconds"] * 30)
    print(
        f"{report['seconds']:.2f} s, {pictures} pictures, {report['bytes'] / 1e6:.1f} MB, {report['dropped']} dropped"
    )
    print(f"{began:.1f} s of time, {spent / pictures * 1000:.2f} ms of CPU a picture, sound and feeding included")
    print(f"click after flash: first {found[0]:+.1f} ms, last {found[-1]:+.1f} ms", end=", ")
    print(f"all {len(found)} within {min(found):+.1f} .. {max(found):+.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 10)
