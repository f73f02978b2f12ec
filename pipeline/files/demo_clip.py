"""A scripted driver: a synthetic face that turns, speaks, smiles, blinks and looks around.

The animated built-in portrait becomes a clip that replaces a webcam: on the page for people without one, and in tests.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av import VideoStream
from numpy.typing import NDArray

from pipeline.core.animator import Cue, Motion, Reference
from pipeline.core.options import AnimateOptions
from pipeline.face.canonical import VERTICES
from pipeline.face.face import Face
from pipeline.face.pose import HeadPose, rotation_from_euler
from pipeline.imaging.source_picture import default_portrait, read_picture
from pipeline.meshwarp.animator import MeshWarp
from pipeline.meshwarp.curves import smoothstep
from pipeline.meshwarp.lips import INNER, open_lips
from pipeline.meshwarp.motion_transfer import Rest, with_lids
from pipeline.models.face_models import face_models

Array = NDArray[np.float32]

LOOP_SECONDS = 12.0
"""The script repeats after this time, without a jump."""

NEUTRAL_SECONDS = 1.0
"""Each loop starts with this long a neutral: a calm face that looks straight into the camera."""

CODECS = {".mp4": "libx264", ".webm": "libvpx", ".mjpeg": "mjpeg"}
BLINKS = (1.9, 4.4, 6.9, 7.3, 10.1)
BLINK_SECONDS = 0.26
WORDS = ((1.7, 4.9), (7.6, 10.6))  # (start, end) in seconds of each spoken phrase


def script(rest: Rest, seconds: float) -> Motion:
    """Return the motion that a tracker would report at this time, for a driver with the face `rest`."""
    time = seconds % LOOP_SECONDS
    shape = _neutral(rest.shape)
    shape += _speech(time) * JAW + _smile(time) * SMILE + _brows(time) * FOREHEAD
    spread(shape, _speech(time))
    shape[468:] += _gaze(time)
    shape, _ = with_lids(shape, (1 - _blink(time),) * 2)
    return Motion(Face(_pose(rest.pose, time).to_picture(shape), 1.0))


def reference(rest: Rest) -> Reference:
    """Return the scripted driver's neutral."""
    motion = script(rest, 0.0)
    return Reference(motion, motion.face.shape, motion.face.pose, motion.face.eye_ratio)


def write_demo(path: Path, seconds: float = LOOP_SECONDS, fps: int = 30, size: int = 512) -> None:
    """Render the scripted driver without badge to .mp4, .webm or .mjpeg (for Chromium's fake webcam)."""
    if path.suffix not in CODECS:
        raise ValueError(f"{path} must end in .mp4, .webm or .mjpeg.")
    animator = MeshWarp(face_models(), size)
    portrait = animator.prepare(read_picture(default_portrait()))
    neutral, options = reference(portrait.rest), AnimateOptions(badge=False)
    with av.open(str(path), "w") as container:
        video = cast(VideoStream, container.add_stream(CODECS[path.suffix], rate=fps))
        video.width, video.height = size, size
        video.pix_fmt = "yuvj420p" if path.suffix == ".mjpeg" else "yuv420p"
        video.bit_rate = 6_000_000
        for number in range(round(seconds * fps)):
            cue = Cue(portrait, options, script(portrait.rest, number / fps), neutral, blend=1.0)
            frame = av.VideoFrame.from_ndarray(animator.animate([cue])[0], format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


# Shapes, in cm of the head's frame: x to the picture's right, y down, z away


def _near(x: float, y: float, width: float, height: float) -> Array:
    """Return (478,) weights of a soft spot around (x, y), mirrored to both sides, 0 for the irises."""
    spot = np.exp(-(((np.abs(VERTICES[:, 0]) - x) / width) ** 2) - ((VERTICES[:, 1] - y) / height) ** 2)
    return np.append(spot, np.zeros(10)).astype(np.float32)


def _field(spot: Array, right: float, down: float) -> Array:
    """Return (478, 3) displacements that move the spot outwards on both sides, and down."""
    sides = np.append(np.clip(VERTICES[:, 0] / 1.5, -1, 1), np.zeros(10))
    return np.stack([spot * right * sides, spot * down, np.zeros(478)], 1).astype(np.float32)


def _jaw() -> Array:
    """Return (478, 3) displacements per cm of opening: everything below the lip line moves with the jaw."""
    field = np.zeros((478, 3), np.float32)
    below = np.clip((VERTICES[:, 1] - 3.0) / 4.5, 0, 1)
    field[:468, 1] = below * np.clip(1.25 - np.abs(VERTICES[:, 0]) / 9, 0, 1)
    field[list(INNER[0])] = 0
    return field


JAW = _jaw()
SMILE = _field(_near(2.4, 4.3, 1.1, 0.9), 0.45, -0.4) + _field(_near(4.0, 1.5, 1.8, 1.8), 0.1, -0.22)
FOREHEAD = _field(_near(2.6, -5.0, 3.0, 1.3), 0.0, -0.55)


def _neutral(shape: Array) -> Array:
    """Return the face with its lips closed."""
    change = np.zeros_like(shape)
    open_lips(change, shape[list(INNER[0]), 1] - shape[list(INNER[1]), 1])
    return shape + change


def spread(shape: Array, opening: float) -> None:
    """Part the lips in place by `opening` cm in the middle, less towards the corners."""
    arch = np.sin(np.linspace(0.18, math.pi - 0.18, len(INNER[0]))).astype(np.float32)
    change = np.zeros_like(shape)
    gap = shape[list(INNER[1]), 1] - shape[list(INNER[0]), 1]
    open_lips(change, np.maximum(0.0, opening * arch) - gap)
    shape += change


# The script: what happens when


def _ease(low: float, high: float, time: float) -> float:
    return float(smoothstep(low, high, time))


def _during(start: float, end: float, time: float, ease: float = 0.35) -> float:
    """Return 1 between start and end and 0 outside, with eased edges."""
    return _ease(start, start + ease, time) * (1 - _ease(end - ease, end, time))


def _awake(time: float) -> float:
    return _during(NEUTRAL_SECONDS, LOOP_SECONDS, time, 1.0)


def _speech(time: float) -> float:
    """Return the cm between the lips: syllables of different widths."""
    syllables = 0.5 - 0.5 * math.cos(2 * math.pi * 3.1 * time)
    stress = 0.6 + 0.4 * math.sin(2 * math.pi * 0.83 * time + 0.6)
    return 2.0 * syllables * stress * sum(_during(start, end, time) for start, end in WORDS)


def _smile(time: float) -> float:
    return _during(5.0, 7.4, time, 0.5)


def _brows(time: float) -> float:
    return _during(2.6, 3.5, time) + 0.8 * _during(8.6, 9.5, time)


def _blink(time: float) -> float:
    """Return 0 (open) to 1 (closed); lids close faster than they open."""
    closing = 0.0
    for start in BLINKS:
        phase = (time - start) / BLINK_SECONDS
        closing = max(closing, _ease(0, 0.35, phase) * (1 - _ease(0.45, 1, phase)))
    return closing


def _gaze(time: float) -> Array:
    """Return the (3,) cm by which both irises move."""
    aside = 0.38 * (_during(3.4, 4.5, time, 0.12) - _during(9.0, 10.2, time, 0.12))
    return np.array([aside, 0.08 * _during(5.4, 6.6, time, 0.15), 0], np.float32)


def _pose(rest: HeadPose, time: float) -> HeadPose:
    awake, turn = _awake(time), 2 * math.pi * time
    yaw = 15 * math.sin(turn / 5.6 + 0.2) * awake
    pitch = (5 * math.sin(turn / 3.1) + 2.0 * math.sin(turn / 1.3)) * awake
    roll = 5 * math.sin(turn / 4.3 + 1.0) * awake
    travel = rest.scale * awake * np.array([0.9 * math.sin(turn / 4.9), 0.4 * math.sin(turn / 3.3), 0], np.float32)
    rotation = (rotation_from_euler(yaw, pitch, roll) @ rest.rotation).astype(np.float32)
    return HeadPose(rotation, rest.scale, rest.translation + travel)
