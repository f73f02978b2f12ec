"""Choose the animator that this machine can run, and say why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.core.registry import AUTO, AnimatorSettings, Loaded, find_animator
from pipeline.models.liveportrait_hub import is_complete, weights_folder


def load_animator(name: str, settings: AnimatorSettings) -> Loaded:
    """Load the animator of this name; for "auto" the best one that runs here.

    Raise AnimatorError or WeightsError if it cannot run. PyTorch is imported only if LivePortrait's weights are there.
    """
    reason = "you asked for it"
    if name == AUTO:
        name, reason = _best(settings.weights or weights_folder())
    loaded = find_animator(name)(settings)
    return replace(loaded, reason="; ".join(filter(None, (reason, loaded.reason))))


def _best(weights: Path) -> tuple[str, str]:
    if not is_complete(weights):
        return "meshwarp", "LivePortrait's weights are not on this machine"
    from pipeline.load_liveportrait import best_device

    if best_device().type != "cuda":
        return "meshwarp", "there is no CUDA device for LivePortrait"
    return "liveportrait", "there are a CUDA device and the weights"
