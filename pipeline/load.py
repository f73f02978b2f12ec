"""Choosing the animator that this machine can run, and saying why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.animator import Animator
from pipeline.weights import FaceModels

AnimatorName = Literal["auto", "liveportrait", "meshwarp"]


class AnimatorError(RuntimeError):
    """The animator that the user named cannot run here; the text says why and what to do."""


@dataclass(frozen=True)
class Loaded:
    """An animator ready to use, why it was taken, and what it runs on."""

    animator: Animator
    reason: str
    device: str


def load_animator(name: AnimatorName, models: FaceModels, size: int) -> Loaded:
    """The named animator, or for "auto" the best that runs here; `size` is the output's side in pixels."""
    from pipeline.meshwarp.animator import MeshWarp

    if name == "liveportrait":
        raise AnimatorError("LivePortrait is not part of this version; use --animator meshwarp.")
    reason = "you asked for it" if name == "meshwarp" else "LivePortrait is not part of this version"
    return Loaded(MeshWarp(models, size), reason, "cpu")
