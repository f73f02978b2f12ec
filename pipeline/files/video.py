"""Read and write video files frame by frame: memory use does not grow with a file's length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from pipeline.core.animator import Picture

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
FALLBACK_RATE = Fraction(30)  # frames per second, for files that state no rate


class VideoError(ValueError):
    """A file cannot be read or written; the message is a sentence that names the remedy."""


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One picture of a file, upright and with square pixels, with its timestamp."""

    picture: Picture
    pts: int  # in units of time_base; increases from frame to frame
    time_base: Fraction  # seconds

    @property
    def time(self) -> float:
        """Return the timestamp in seconds."""
        return float(self.pts * self.time_base)


class VideoReader:
    """An open video file, iterated once for its frames; damaged packets are skipped and counted in `skipped`.

    Opening raises VideoError if the file does not exist, is not a video or contains no video stream.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped = 0
        self._container = _open(path)
        self._stream = self._first_video()
        self._stream.thread_type = "AUTO"
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or FALLBACK_RATE)
        self.time_base = Fraction(self._stream.time_base or 1 / self.rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def expected_frames(self) -> int | None:
        """Return about how many frames the file has, for a progress bar; None if the file does not say."""
        if self._stream.frames:
            return self._stream.frames
        seconds = (self._container.duration or 0) / av.time_base
        return round(seconds * self.rate) or None

    def __iter__(self) -> Iterator[VideoFrame]:
        last: int | None = None
        step = max(1, round(1 / self.rate / self.time_base))
        for frame in self._decoded():
            pts = frame.pts if frame.pts is not None else 0 if last is None else last + step
            last = pts if last is None else max(pts, last + 1)
            yield VideoFrame(_upright(frame, self._stream.sample_aspect_ratio), last, self.time_base)

    def _first_video(self) -> VideoStream:
        # Album art is stored as a video stream with one picture.
        streams = [s for s in self._container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            self._container.close()
            raise VideoError(f"{self.path} contains no video; choose a video file.")
        return streams[0]

    def _decoded(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                return
            except av.FFmpegError:  # one damaged packet, or a damaged file structure (then no packets follow)
                self.skipped += 1
                continue
            yield from frames


def _open(path: Path) -> InputContainer:
    try:
        return av.open(str(path), metadata_errors="replace")
    except FileNotFoundError:
        raise VideoError(f"There is no file {path}; check the name.") from None
    except (av.FFmpegError, OSError) as error:
        raise VideoError(
            f"{path} cannot be read as a video ({_reason(error)}); it may be damaged or cut off."
        ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _upright(frame: av.VideoFrame, aspect: Fraction | None) -> Picture:
    width = round(frame.width * aspect) if aspect else frame.width
    picture = np.asarray(frame.to_ndarray(format="rgb24", width=width, height=frame.height), np.uint8)
    quarters = round(frame.rotation / 90) % 4  # the display matrix counts counterclockwise
    return np.ascontiguousarray(np.rot90(picture, quarters)) if quarters else picture


class VideoWriter:
    """Writes H264 with given timestamps; the file appears under its name only when it is complete.

    `audio_from` is a file whose first audio stream is copied if the output format allows it, else encoded as AAC.
    If the `with` block raises, no file is left. Raises VideoError if the output cannot be written.
    """

    def __init__(
        self, path: Path, rate: Fraction, time_base: Fraction, comment: str, audio_from: Path | None = None
    ) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._rate, self._time_base, self._audio_from = rate, time_base, audio_from
        self._container = _create(path, self._part)
        self._container.metadata["comment"] = comment
        self._video: VideoStream | None = None
        self._audio: _AudioCopy | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
                self._part.replace(self._path)
        finally:
            with suppress(av.FFmpegError):  # after an error the header may not have been written
                self._container.close()
            self._part.unlink(missing_ok=True)

    def write(self, picture: Picture, pts: int) -> None:
        """Append a picture of the same size as the first. `pts`, in units of `time_base`, must increase."""
        picture = _even(picture)
        video = self._video or self._begin(*picture.shape[:2])
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = pts, self._time_base
        self._mux(video.encode(frame))
        self._mux_audio(float(pts * self._time_base))

    def _begin(self, height: int, width: int) -> VideoStream:
        video = self._container.add_stream("libx264", rate=self._rate, options={"crf": "18", "preset": "fast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        context = video.codec_context
        context.time_base = self._time_base
        context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
        self._video = video
        self._audio = _AudioCopy(self._audio_from, self._container) if self._audio_from else None
        return video

    def _finish(self) -> None:
        if self._video is not None:
            self._mux(self._video.encode(None))
        self._mux_audio(math.inf)
        with self._friendly_errors():
            self._container.close()

    def _mux_audio(self, until: float) -> None:
        if self._audio:
            for packet in self._audio.until(until):
                self._mux(packet)

    def _mux(self, packets: Packet[Any] | Sequence[Packet[Any]]) -> None:
        with self._friendly_errors():
            self._container.mux(packets)

    @contextmanager
    def _friendly_errors(self) -> Iterator[None]:
        try:
            yield
        except av.FFmpegError as error:
            raise VideoError(f"{self._path} cannot be written ({_reason(error)}); is the disk full?") from error


def _create(path: Path, part: Path) -> OutputContainer:
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise VideoError(f"{path} cannot be written; name the output {', '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise VideoError(f"The output folder {path.parent} does not exist; create it first.")
    return av.open(str(part), "w", format=form, options={"movflags": "+faststart"} if form != "matroska" else {})


def _even(picture: Picture) -> Picture:
    """Repeat the last row and column if the height and width are odd: 4:2:0 needs even sizes."""
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return picture


class _AudioCopy:
    """Reads the first audio stream of a file as packets for an output, in step with its video."""

    def __init__(self, path: Path, output: OutputContainer) -> None:
        self._packets = _audio_packets(path, output)
        self._next = next(self._packets, None)  # now: all streams must exist before the first packet is written

    def until(self, time: float) -> Iterator[Packet[AudioStream]]:
        """Yield the next packets that start at or before `time` (seconds)."""
        while self._next is not None and _start(self._next) <= time:
            yield self._next
            self._next = next(self._packets, None)


def _start(packet: Packet[AudioStream]) -> float:
    return float((packet.dts or 0) * packet.time_base)


def _audio_packets(path: Path, output: OutputContainer) -> Iterator[Packet[AudioStream]]:
    with _open(path) as source:
        if not source.streams.audio:
            return
        audio = source.streams.audio[0]
        packets = source.demux(audio)
        if audio.codec_context.codec.canonical_name in output.supported_codecs:
            copied = output.add_stream_from_template(audio)
            for packet in packets:
                if packet.dts is not None:
                    packet.stream = copied
                    yield packet
        else:
            encoded = output.add_stream("aac", rate=audio.rate)
            for packet in packets:
                for frame in _intact(packet):
                    yield from encoded.encode(frame)
            yield from encoded.encode(None)


def _intact(packet: Packet[AudioStream]) -> Sequence[AudioFrame]:
    try:
        return packet.decode()
    except av.FFmpegError:
        return ()
