"""A pyvirtualcam backend that keeps what is sent, instead of the machine's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pyvirtualcam
from numpy.typing import NDArray
from pyvirtualcam.util import decode_fourcc

from tests.support.waiting import PATIENCE

Sent = NDArray[np.uint8]


class CameraRecording:
    """The pictures that reached the device, one row of bytes each as pyvirtualcam sends them, and their times."""

    def __init__(self, formats: tuple[str, ...] = ("I420", "RGB")) -> None:
        self.formats = formats  # that the device accepts
        self.opened: dict[str, Any] = {}
        self.pictures: list[Sent] = []
        self.times: list[float] = []
        self.closed = 0
        self.unplugged = False
        self._news = threading.Condition()

    def backend(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None) -> _Backend:
        form = pyvirtualcam.PixelFormat(decode_fourcc(fourcc)).name
        if form not in self.formats:
            raise RuntimeError("Unsupported image format.")
        if device == "none":
            raise RuntimeError("Device none does not exist.")
        self.opened = {"size": (width, height), "fps": fps, "format": form, "device": device}
        return _Backend(self)

    def add(self, picture: Sent) -> None:
        if self.unplugged:
            raise OSError("no such device")
        with self._news:
            self.pictures.append(picture.copy())
            self.times.append(time.monotonic())
            self._news.notify_all()

    def wait(self, done: Callable[[list[Sent]], Any], seconds: float = PATIENCE) -> None:
        """Wait until `done(pictures)` is true."""
        with self._news:
            assert self._news.wait_for(lambda: done(self.pictures), seconds), f"{len(self.pictures)} pictures came"

    def wait_for_more(self, count: int) -> None:
        """Wait until `count` more pictures have come."""
        wanted = len(self.pictures) + count
        self.wait(lambda pictures: len(pictures) >= wanted)


class _Backend:
    def __init__(self, recording: CameraRecording) -> None:
        self._recording = recording

    def send(self, picture: Sent) -> None:
        self._recording.add(picture)

    def device(self) -> str:
        return self._recording.opened["device"] or "recording"

    def native_fourcc(self) -> None:
        return None

    def close(self) -> None:
        self._recording.closed += 1


def installed(monkeypatch: pytest.MonkeyPatch, *formats: str) -> CameraRecording:
    """Install a recording as the only virtual camera; it accepts these formats, or all."""
    recording = CameraRecording(*[formats] if formats else [])
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {})
    pyvirtualcam.register_backend("recording", recording.backend)
    return recording
