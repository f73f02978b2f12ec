"""Writes MP4 files that can be played even if the writing is interrupted."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from pipeline.core.animator import Planes
from pipeline.files.animate import COMMENT
from realtime.endpoints.soundtrack import RATE, Samples

# Fragments (ISO/IEC 14496-12, 8.8) until the end, which adds a plain index, so that any player can seek.
# The header is written with the first fragment (delay_moov): it says by how much AAC's first samples are early.
CONTAINER = {"movflags": "hybrid_fragmented+delay_moov", "flush_packets": "1"}
PICTURES = {"preset": "veryfast", "crf": "20", "bf": "0"}
SOUND_BITRATE = 128_000
SOUND_FRAME = 1024  # samples of an AAC frame


class Mp4Writer:
    """H264 at a constant rate, and AAC (older players and editors do not play Opus in MP4).

    What was added is in the file at most a second later. FFmpeg's errors are raised.
    """

    def __init__(self, path: Path, width: int, height: int, fps: int, sound: bool) -> None:
        """`width` and `height` must be even."""
        self._container = av.open(str(path), "w", format="mp4", options=CONTAINER)
        self._container.metadata["comment"] = COMMENT
        self._pictures = self._add_pictures(width, height, fps)
        self._sound: AudioStream | None = None
        if sound:
            self._sound = self._container.add_stream("aac", rate=RATE, layout="stereo", bit_rate=SOUND_BITRATE)
        self._fps = fps
        self._written = self._samples = 0  # pictures and samples so far
        self._line: Samples = np.zeros((2, 0), np.float32)  # sound whose pictures have not come yet

    def _add_pictures(self, width: int, height: int, fps: int) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=fps, options=PICTURES)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.gop_size, context.thread_count = fps, 1  # each keyframe begins a fragment
        context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
        return stream

    def add_picture(self, planes: Planes) -> None:
        """Append a picture."""
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = self._written, Fraction(1, self._fps)
        self._written += 1
        self._container.mux(self._pictures.encode(frame))
        self._write_sound(SOUND_FRAME)

    def add_audio(self, samples: Samples) -> None:
        """Append sound, if the file has any. Sound after the last picture is left out."""
        if self._sound:
            self._line = np.concatenate((self._line, samples), 1)

    def close(self) -> None:
        """Finish the file."""
        try:
            self._write_sound(1)
            if self._sound:
                self._container.mux(self._sound.encode(None))
            self._container.mux(self._pictures.encode(None))
        finally:
            self._container.close()

    def _write_sound(self, unit: int) -> None:
        """Write the sound of the pictures so far, in multiples of `unit` samples."""
        ready = min(self._line.shape[1], self._written * RATE // self._fps - self._samples) // unit * unit
        for start in range(0, ready, SOUND_FRAME):
            self._encode(self._line[:, start : min(start + SOUND_FRAME, ready)])
        self._line = self._line[:, ready:]

    def _encode(self, samples: Samples) -> None:
        assert self._sound
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._samples, Fraction(1, RATE)
        self._samples += frame.samples
        self._container.mux(self._sound.encode(frame))
