"""The types that every stage and every animator share, and the Animator itself. Read this first.

A portrait is prepared once. For each driving frame the tracker finds a face, the animator reads its motion, a
`DriverState` turns it into a `Cue` (how much of it to show now, relative to which neutral), and the animator draws it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.core.options import AnimateOptions
from pipeline.face.face import Face, HeadPose

Picture = NDArray[np.uint8]
"""(height, width, 3) uint8, RGB."""

Planes = NDArray[np.uint8]
"""(height * 3 / 2, width) uint8, I420 (BT.601, limited range) with even sides: what decoders give and encoders take."""

Layout = Literal["rgb", "i420"]
"""The format of a finished picture: a Picture or Planes."""

Capability = Literal["batched", "gpu", "motion_files", "video_source", "picture_driver"]
"""What an animator needs, or can do beyond letting a video drive a picture.

batched: it is a BatchedAnimator (core/batched.py), and one thread draws for all sessions. gpu: it is fast enough for
live video only on an NVIDIA GPU. motion_files: its motion can be saved to a file and replayed. video_source: the
source can be a video. picture_driver: the driver can be a picture. The last three need LivePortrait's motion
(files/liveportrait_jobs.py).
"""

Progress = Callable[[int, int | None], None]
"""Called with the steps done and their total (None: unknown)."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """A source picture, prepared once. Animators extend it with what they derive from the picture alone."""

    key: str  # hex digest of the source pixels and of the animator's settings
    picture: Picture  # the source, upright, RGB
    face: Face  # the face that is animated, in pixels of `picture`
    warnings: tuple[str, ...]  # sentences for the user on what may look wrong


@dataclass(frozen=True, eq=False)
class Motion:
    """The motion read from one driving face. Animators extend it."""

    face: Face

    def towards(self, other: Motion, share: float) -> Motion:
        """Return a mix with `share` (0..1) of a better neutral; that one itself if the two cannot be mixed."""
        return other


@dataclass(frozen=True, eq=False)
class DrivingFrame:
    """One picture of the driver, and the face that the tracker found in it (None: no face)."""

    picture: Picture
    face: Face | None
    time: float = 0.0  # seconds of any monotonic clock
    previous: Motion | None = None  # of this driver's frame before; animators use it to keep their crop steady
    planes: Planes | None = None  # `picture` as it was decoded, if it was: fewer bytes to copy to a device


@dataclass(frozen=True, eq=False)
class Reference:
    """The driver's neutral, relative to which motion is measured. All but `motion`, which was seen, may drift."""

    motion: Motion
    shape: NDArray[np.float32]  # (478, 3) cm, head frame, as Face.shape
    pose: HeadPose
    eye_open: tuple[float, float]  # lid ratio of the open eyes: subject's right, left


@dataclass(frozen=True)
class Idle:
    """The movement of a portrait that nobody drives; zeros are none."""

    breath: float = 0.0  # -1 exhaled .. 1 inhaled
    blink: float = 0.0  # 0 open .. 1 closed
    sway: tuple[float, float] = (0.0, 0.0)  # yaw, pitch in degrees


@dataclass(frozen=True, eq=False)
class Cue:
    """Everything that decides one output picture. With blend 0 or no motion it is the portrait at rest, plus `idle`."""

    portrait: Portrait
    options: AnimateOptions
    motion: Motion | None = None
    reference: Reference | None = None
    blend: float = 0.0  # 0 at rest .. 1 follows the driver
    idle: Idle = Idle()
    driver: Picture | None = None  # the driver's picture, only with options.driver_mouth


class Animator(Protocol):
    """Pictures in, pictures out. It keeps no state between calls but read-only models, so one serves many sessions."""

    name: str
    supports: frozenset[str]  # names of the AnimateOptions that have an effect
    capabilities: frozenset[Capability]

    def warm_up(self, progress: Progress) -> float | None:
        """Do what would make the first call slow; return the seconds that a frame takes if that was measured."""

    def prepare(self, picture: Picture) -> Portrait:
        """Prepare a source picture. Raise PortraitError, a sentence for the user, if it cannot be animated."""

    def read_motion(self, frames: Sequence[DrivingFrame]) -> list[Motion | None]:
        """Return the motion of each frame's face, in order; None for a frame without a face."""

    def animate(self, cues: Sequence[Cue], layout: Layout = "rgb") -> list[Picture]:
        """Return one picture per cue, in order, mirrored and with the badge as its options say (imaging/finish.py).

        Its sides are the animator's size, or the portrait's with `paste_back`; Planes drop an odd last row or column.
        """
