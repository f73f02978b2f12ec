"""What is loaded once, before the first request: the animator, the trackers' models, the portraits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipeline.core.animator import Animator, Progress
from pipeline.face.tracker import FaceTracker
from pipeline.files.animate import read_source
from pipeline.imaging.source_picture import BUILTIN, PortraitError
from pipeline.load import Loaded, load_animator
from pipeline.models.face_models import face_models
from realtime.gpu.worker import Worker
from web.core.settings import Settings
from web.services.portrait_folder import Shelf
from web.services.portraits import Portraits

if TYPE_CHECKING:
    from pipeline.liveportrait.animator import LivePortrait


@dataclass(frozen=True, eq=False)
class Engine:
    """Everything that sessions share."""

    loaded: Loaded
    new_tracker: Callable[[], FaceTracker]
    portraits: Portraits
    worker: Worker[Any] | None = None  # where the animator runs in a thread of its own, which `close` ends

    def close(self) -> None:
        """After the last session."""
        if self.worker:
            self.worker.close()


def load_engine(settings: Settings, progress: Progress) -> Engine:
    """Raises WeightsError, AnimatorError or PortraitError, each one sentence."""
    named, shelf = _named(settings.source), _shelf(settings.portraits)
    if settings.source:
        read_source(settings.source)  # a mistyped name is told before the models are loaded
    models = face_models()
    loaded = load_animator(
        settings.animator, models, settings.size, settings.precision, settings.weights, settings.backend
    )
    worker = None
    if loaded.animator.name == "liveportrait":
        worker = _own_thread(loaded.animator)
        loaded = replace(loaded, animator=worker)
    loaded = loaded.warmed_up(progress)
    return Engine(loaded, lambda: FaceTracker(models), Portraits(loaded.animator, named, shelf), worker)


def _own_thread(animator: Animator) -> Worker[Any]:
    from realtime.gpu.start import own_thread  # with PyTorch, which the other animator does without

    return own_thread(cast("LivePortrait", animator))


def _named(source: Path | None) -> dict[str, Path]:
    return BUILTIN if source is None else {source.stem: source, **BUILTIN}


def _shelf(folder: Path | None) -> Shelf | None:
    try:
        return Shelf(folder) if folder else None
    except OSError as error:
        raise PortraitError(f"{folder} cannot be used ({error.strerror}); name a folder in --portraits.") from error
