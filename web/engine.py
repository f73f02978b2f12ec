"""What is loaded once, before the first request: the animator, the trackers' models, the portraits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.animator import Progress
from pipeline.face.tracker import FaceTracker
from pipeline.load import Loaded, load_animator
from pipeline.portrait import BUILTIN, PortraitError
from pipeline.weights import face_models
from web.portraits import Portraits
from web.settings import Settings


@dataclass(frozen=True, eq=False)
class Engine:
    """Everything that sessions share."""

    loaded: Loaded
    new_tracker: Callable[[], FaceTracker]
    portraits: Portraits


def load_engine(settings: Settings, progress: Progress) -> Engine:
    """Raises WeightsError, AnimatorError or PortraitError, each one sentence."""
    named = _named(settings.source)
    models = face_models()
    loaded = load_animator(settings.animator, models, settings.size, settings.precision, settings.weights)
    loaded = loaded.warmed_up(progress)
    return Engine(loaded, lambda: FaceTracker(models), Portraits(loaded.animator, named))


def _named(source: Path | None) -> dict[str, bytes]:
    builtin = {name: path.read_bytes() for name, path in BUILTIN.items()}
    return builtin if source is None else {source.stem: _read(source)} | builtin


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise PortraitError(f"{source} cannot be read ({error.strerror}); name a picture file in --source.") from error
