"""The animators by name: those of this program, one line each, and those of installed packages.

A package adds an animator by an entry point in the group `portrait_puppet.animators`; it names a `Load`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.choices import BackendName, Precision

if TYPE_CHECKING:
    from pipeline.core.animator import Animator, Capability, Progress
    from pipeline.core.batched import Executor
    from pipeline.models.face_models import FaceModels

GROUP = "portrait_puppet.animators"
BUILT_IN = (
    EntryPoint("liveportrait", "pipeline.load_liveportrait:load", GROUP),
    EntryPoint("meshwarp", "pipeline.meshwarp.animator:load", GROUP),
)
AUTO = "auto"
"""The name that stands for the best animator that runs on this machine."""


class AnimatorError(RuntimeError):
    """An animator cannot run or cannot do what was asked; the message says why and names the remedy."""


@dataclass(frozen=True)
class AnimatorSettings:
    """What an animator is made from; each takes what it needs."""

    models: FaceModels
    size: int = 512  # pixels: side of the animated picture
    precision: Precision = "auto"  # of LivePortrait's networks
    weights: Path | None = None  # folder of LivePortrait's checkpoints; None: where they are downloaded to
    backend: BackendName = "compiled"  # how LivePortrait's networks run
    executor: Executor | None = None  # the thread that works for a batched animator; None: the caller's


@dataclass(frozen=True)
class Loaded:
    """An animator, why it was chosen, and what it runs on."""

    animator: Animator
    reason: str = ""
    device: str = "cpu"

    def warmed_up(self, progress: Progress) -> Loaded:
        """Warm the animator up; return this with the measured time of a frame in the reason, if it was measured."""
        seconds = self.animator.warm_up(progress)
        if seconds is None:
            return self
        speed = f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"
        return replace(self, reason=f"{self.reason}; {speed} a frame")


Load = Callable[[AnimatorSettings], Loaded]
"""Makes an animator. Raises AnimatorError or WeightsError."""


def animator_names() -> tuple[str, ...]:
    """Return every name that `--animator` accepts."""
    return AUTO, *_entries()


def find_animator(name: str) -> Load:
    """Return what makes the animator of this name. Raise AnimatorError if there is none or its package is broken."""
    entry = _entries().get(name)
    if entry is None:
        raise AnimatorError(f"There is no animator {name!r}; choose one of {', '.join(animator_names())}.")
    if entry in BUILT_IN:
        return entry.load()
    try:
        return entry.load()
    except Exception as error:  # the code of another package
        raise AnimatorError(
            f"The animator {name!r} is of an installed package that cannot be loaded ({error}); update or uninstall it."
        ) from error


def require(animator: Animator, capability: Capability, asked: str) -> None:
    """Raise AnimatorError if the animator lacks the capability that `asked`, a flag or a feature, needs."""
    if capability not in animator.capabilities:
        raise AnimatorError(f"{asked} needs --animator liveportrait; this is {animator.name}.")


def _entries() -> dict[str, EntryPoint]:
    """Return the entry points by name; a package cannot replace a built-in animator."""
    built_in = {entry.name: entry for entry in BUILT_IN}
    return built_in | {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in built_in}
