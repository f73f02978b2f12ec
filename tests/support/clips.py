"""Write small video files for tests, with PyAV alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline.core.animator import Picture

MILLISECOND = Fraction(1, 1000)


def gradient(width: int, height: int, level: int) -> Picture:
    """Return a picture that no rotation leaves the same: red grows to the right, green downwards, blue is `level`."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width)
    picture[..., 1] = np.linspace(0, 255, height)[:, None]
    picture[..., 2] = level
    return picture


def write_clip(
    path: Path,
    pictures: Sequence[Picture],
    times: Sequence[int] = (),
    *,
    rate: int = 25,
    codec: str = "libx264",
    audio: str | None = None,
    rotation: int = 0,
    pixels: str = "yuv420p",
    **options: str,
) -> Path:
    """Write pictures at `times` in ms (default: evenly at `rate`), with a tone if `audio` names a codec."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate, options=options)
        video.pix_fmt = pixels
        video.height, video.width = pictures[0].shape[:2]
        time_base = MILLISECOND if times else Fraction(1, rate)
        video.codec_context.time_base = time_base
        if rotation:
            video.set_display_rotation(rotation)
        tone = container.add_stream(audio, rate=48000, layout="mono") if audio else None
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="gray" if picture.ndim == 2 else "rgb24")
            frame.pts, frame.time_base = times[i] if times else i, time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if tone:
            seconds = times[-1] / 1000 if times else len(pictures) / rate
            for frame in _tone(round(seconds * 48000)):
                container.mux(tone.encode(frame))
            container.mux(tone.encode(None))
    return path


def _tone(samples: int) -> Iterable[av.AudioFrame]:
    for start in range(0, samples, 1024):
        sine = np.sin(np.arange(start, min(start + 1024, samples)) * (2 * np.pi * 440 / 48000))
        frame = av.AudioFrame.from_ndarray((sine * 8000).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        yield frame


def damage(path: Path, start: float, end: float) -> None:
    """Overwrite a file's bytes between two positions, given as shares of its length."""
    data = bytearray(path.read_bytes())
    low, high = int(len(data) * start), int(len(data) * end)
    data[low:high] = np.random.default_rng(1).bytes(high - low)
    path.write_bytes(data)
