"""What would make the pictures better on this machine, as sentences for the page."""

import shutil

from pipeline.core.registry import Loaded
from pipeline.models.liveportrait_hub import is_complete, weights_folder
from web.core.program import as_started


def better(loaded: Loaded) -> str:
    """Return what is missing for LivePortrait to run live; empty if it does."""
    gpu = shutil.which("nvidia-smi") is not None
    if "gpu" in loaded.animator.capabilities:
        name = loaded.animator.name
        return "" if gpu else f"{name} is live only on an NVIDIA GPU, and none was found; meshwarp is live here."
    lacking = [] if gpu else ["an NVIDIA GPU; none was found"]
    if not is_complete(weights_folder()):
        lacking.append(as_started("its weights (520 MB): python run.py weights fetch liveportrait"))
    if not lacking:
        return "LivePortrait can run here: start with --animator liveportrait."
    return f"LivePortrait also moves skin and hair. It needs {', and '.join(lacking)}."
