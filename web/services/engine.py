"""What is loaded once, before the first request: the animator, the models of the trackers, the portraits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from pipeline.core.animator import Progress
from pipeline.core.batched import BatchedAnimator
from pipeline.core.registry import AnimatorSettings, Loaded
from pipeline.face.tracker import FaceTracker
from pipeline.files.animate import read_source
from pipeline.imaging.source_picture import BUILTIN, PortraitError
from pipeline.load import load_animator
from pipeline.models.face_models import face_models
from realtime.gpu.gpu_thread import GpuThread, Worker
from web.core.settings import Settings
from web.services.portraits import Portraits, Shelf


@dataclass(frozen=True, eq=False)
class Engine:
    """Everything that sessions share."""

    loaded: Loaded
    new_tracker: Callable[[], FaceTracker]
    portraits: Portraits
    thread: GpuThread | None = None  # works for a batched animator, until `close`

    def close(self) -> None:
        """End the thread of the animator; call it after the last session."""
        if self.thread:
            self.thread.close()


def load_engine(settings: Settings, progress: Progress) -> Engine:
    """Load and warm up everything. Raise WeightsError, AnimatorError or PortraitError, each with one sentence."""
    named, shelf = BUILTIN, _shelf(settings.portraits)
    if settings.source:
        named = {settings.source.stem: settings.source, **BUILTIN}
        read_source(settings.source)  # so that a mistyped name is reported before the models load
    models = face_models()
    thread = GpuThread()
    chosen = AnimatorSettings(
        models, settings.size, settings.precision, settings.weights, settings.backend, executor=thread
    )
    loaded = load_animator(settings.animator, chosen)
    batched = "batched" in loaded.animator.capabilities
    if batched:
        loaded = replace(loaded, animator=Worker(cast(BatchedAnimator[Any], loaded.animator), thread))
    loaded = loaded.warmed_up(progress)
    portraits = Portraits(loaded.animator, named, shelf)
    return Engine(loaded, lambda: FaceTracker(models), portraits, thread if batched else None)


def _shelf(folder: Path | None) -> Shelf | None:
    try:
        return Shelf(folder) if folder else None
    except OSError as error:
        raise PortraitError(f"{folder} cannot be used ({error.strerror}); name a folder in --portraits.") from error
