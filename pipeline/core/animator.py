"""What an animator is: the types that every stage and every animator share. Read this first.

A portrait is prepared once. For each driving frame the tracker finds a face, the animator reads its motion, a
`DriverState` turns it into a `Cue` (how much of it to show now, against which neutral), and the animator draws the cue.
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
"""(height * 3 / 2, width) uint8, I420 (BT.601, limited range) of even sides: as decoders give and encoders take it."""

Layout = Literal["rgb", "i420"]
"""How a finished picture lies in memory: as a Picture or as Planes."""

Capability = Literal["batched", "gpu", "motion_files", "video_source", "picture_driver"]
"""What an animator can do beyond a video that drives a picture.

batched: it is a `core/batched.py` BatchedAnimator, and only one thread may use it for many sessions. gpu: it is fast
enough for live video on an NVIDIA GPU only. motion_files: its motion is saved to files and read from them;
video_source: a video can be the source; picture_driver: a picture can be the driver. The last three need
LivePortrait's kind of motion (files/liveportrait_jobs.py).
"""

Progress = Callable[[int, int | None], None]
"""Called with (done, in all)."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """A source picture made ready once. Animators extend it with what they derive from the picture alone."""

    key: str  # hex digest of the source pixels and of the animator's settings
    picture: Picture  # the source, upright, RGB
    face: Face  # the face that is animated, in pixels of `picture`
    warnings: tuple[str, ...]  # sentences on what may look wrong


@dataclass(frozen=True, eq=False)
class Motion:
    """What was read from one driving face. Animators extend it."""

    face: Face

    def towards(self, other: Motion, share: float) -> Motion:
        """From this neutral `share` (0..1) of the way to a better one, where what an animator added can be mixed."""
        return other


@dataclass(frozen=True, eq=False)
class DrivingFrame:
    """One picture of the driver and the face that the tracker holds in it (None: no face)."""

    picture: Picture
    face: Face | None
    time: float = 0.0  # seconds, of any clock that does not run backwards
    previous: Motion | None = None  # this driver's newest before this one: what is kept steady, animators keep it there
    planes: Planes | None = None  # `picture` as it was decoded, where it was: less to copy to a device


@dataclass(frozen=True, eq=False)
class Reference:
    """The driver's neutral, against which motion is measured. All but `motion`'s face, a real one, may drift."""

    motion: Motion
    shape: NDArray[np.float32]  # (478, 3) cm, head frame, as Face.shape
    pose: HeadPose
    eye_open: tuple[float, float]  # lid ratio of the open eyes: subject's right, left


@dataclass(frozen=True)
class Idle:
    """What a portrait does by itself while nobody drives it. Zero everywhere: nothing."""

    breath: float = 0.0  # -1 breathed out .. 1 breathed in
    blink: float = 0.0  # 0 open .. 1 closed
    sway: tuple[float, float] = (0.0, 0.0)  # yaw, pitch in degrees


@dataclass(frozen=True, eq=False)
class Cue:
    """All that decides one output picture. With blend 0 (or no motion) it is the portrait at rest, plus `idle`."""

    portrait: Portrait
    options: AnimateOptions
    motion: Motion | None = None
    reference: Reference | None = None
    blend: float = 0.0  # 0 at rest .. 1 follows the driver
    idle: Idle = Idle()
    driver: Picture | None = None  # the driver's picture, only with options.driver_mouth


class Animator(Protocol):
    """Pictures in, pictures out; no state between calls but read-only models, so one serves many sessions."""

    name: str
    supports: frozenset[str]  # the AnimateOptions that have an effect here
    capabilities: frozenset[Capability]

    def warm_up(self, progress: Progress) -> float | None:
        """Do once, before the first call, what would make it slow; the seconds of a frame, where this measures them."""

    def prepare(self, picture: Picture) -> Portrait:
        """Make a source ready. PortraitError, with a sentence, where it cannot be animated."""

    def read_motion(self, frames: Sequence[DrivingFrame]) -> list[Motion | None]:
        """The motion of each frame's face, in order; None where there is no face."""

    def animate(self, cues: Sequence[Cue], layout: Layout = "rgb") -> list[Picture]:
        """One picture per cue, in order, as Picture or Planes: badge drawn and mirrored as its options say.

        Its sides are `size`, or with `paste_back`, where it is supported, the whole portrait's; an odd last row or
        column is left out of Planes.
        """
