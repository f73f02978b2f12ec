"""Measure how evenly `run.py camera` feeds a virtual camera: `python -m tests.tools.virtual_camera_pace [SECONDS]`.

The camera is a fake one that only keeps the times of its pictures.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import numpy as np
import pyvirtualcam

import run
from pipeline.core.timing import percentiles
from tests.support.virtual_cameras import CameraRecording
from web.cli import camera

WORDS = ("camera", "--camera", "demo", "--virtual-camera", "--animator", "meshwarp")


class FrameTimes(CameraRecording):
    """A recording that keeps all times but only the last picture."""

    def add(self, picture: np.ndarray) -> None:
        super().add(picture)
        self.pictures[:-1] = []


def main(seconds: float) -> None:
    recording, began, ready = FrameTimes(), time.monotonic(), []
    pyvirtualcam.camera.BACKENDS.clear()
    pyvirtualcam.register_backend("recording", recording.backend)
    show, camera.print = print, lambda *words, **options: (ready.append(time.monotonic()), show(*words, **options))

    def press_ctrl_c() -> None:
        recording.wait(len, 600)
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press_ctrl_c).start()
    code = run.main(WORDS)
    gaps = np.diff(recording.times) * 1000
    off = ", ".join(f"{rank} {ms:.2f}" for rank, ms in percentiles(np.abs(gaps - 1000 / 30)).items())
    print(f"exit code {code}; {len(gaps) + 1} pictures at {recording.opened['size']}, {recording.opened['format']}")
    print(f"ready after {ready[-1] - began:.2f} s, the first picture {recording.times[0] - ready[-1]:+.3f} s from then")
    print(f"{1000 / gaps.mean():.3f} a second; intervals are off by {off} ms")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
