"""What several commands load: face models, an animator, options, the settings that choose an animator."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

import cv2

from pipeline.core.animator import Animator
from pipeline.core.options import AnimateOptions
from pipeline.core.registry import AnimatorSettings, Loaded
from pipeline.load import load_animator
from pipeline.models.face_models import FaceModels, face_models
from web.cli.console import bar
from web.core.settings import Settings


def use_one_thread() -> None:
    """Keep OpenCV in the thread that calls it: more threads gain 5 % on a quiet machine and lose on a busy one."""
    cv2.setNumThreads(1)


def fetched_face_models() -> FaceModels:
    """Return the face models; a bar shows their download, on the first use."""
    with bar("Fetching the model files", "B") as progress:
        return face_models(progress)


def load(parsed: argparse.Namespace) -> tuple[FaceModels, Loaded]:
    """Load and warm up the animator that the command line names, and print which one it is."""
    models = fetched_face_models()
    chosen = AnimatorSettings(models, parsed.size, parsed.precision, parsed.weights, parsed.backend)
    loaded = load_animator(parsed.animator, chosen)
    with bar("Warming up", "step") as progress:
        loaded = loaded.warmed_up(progress)
    print(about(loaded), file=sys.stderr)
    return models, loaded


def about(loaded: Loaded) -> str:
    """Return a sentence that names the animator, its device and why it was chosen."""
    return f"Animator: {loaded.animator.name} on {loaded.device} ({loaded.reason})."


def settings(parsed: argparse.Namespace, **others: Any) -> Settings:
    """Return settings with the animator that the command line names, and `others`."""
    names = ("animator", "precision", "weights", "size", "backend")
    return Settings(**{name: getattr(parsed, name) for name in names}, **others)


def options(assignments: list[str]) -> AnimateOptions:
    """Return the options of --set. Raise OptionError if one does not exist or has a value out of its range."""
    pairs = (assignment.partition("=") for assignment in assignments)
    return AnimateOptions().changed({name: _value(text) for name, _, text in pairs})


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # the option's own check names what it takes


def without_effect(assignments: list[str], animator: Animator) -> Iterator[str]:
    """Yield a sentence for each option of --set that this animator does not have."""
    for assignment in assignments:
        name = assignment.partition("=")[0]
        if name not in animator.supports:
            yield f"{name} has no effect with {animator.name}."
