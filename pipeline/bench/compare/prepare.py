"""Make the inputs from the command line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from pipeline.bench.compare.compare import CompareError
from pipeline.bench.compare.footage import Clip, KnownFootage
from pipeline.bench.compare.inputs import Inputs, disk_sizes, load_from
from pipeline.bench.known_driver import picture_and_face
from pipeline.core.animator import Picture
from pipeline.core.choices import Device
from pipeline.face.face import Face
from pipeline.imaging.source_picture import choose_face, default_portrait, read_picture
from pipeline.liveportrait.crop import fitted
from pipeline.load_liveportrait import about_weights, best_device, load_liveportrait
from pipeline.models.face_models import FaceModels
from pipeline.models.liveportrait_hub import weights_folder
from pipeline.models.store import cache_folder

DEMO_FPS = 10  # so that its twelve seconds are read in one second

READERS = ("av", "ai_edge_litert")  # packages that read videos and find faces


def chosen_device(name: Device) -> torch.device:
    """Return the device of this name. Raise CompareError if there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise CompareError(
            "PyTorch finds no CUDA device. `python run.py doctor` says why; --device cpu compares on the CPU."
        )
    return best_device() if name == "auto" else torch.device(name)


def sees_videos() -> bool:
    """Return whether the packages that read videos and find faces are installed."""
    return all(find_spec(package) for package in READERS)


def prepare_inputs(
    device: torch.device,
    models: FaceModels | None,
    files: tuple[Path | None, Path | None],
    weights: Path | None,
    folder: Path,
) -> Inputs:
    """Return the inputs for the source and the driving video in `files`, or the built-in ones if None.

    Without `models` the driver is synthetic; `folder` is for the built-in video. Raise AnimatorError or WeightsError
    without the networks, PortraitError or VideoError if a file cannot be used.
    """
    networks = load_liveportrait(weights)  # also writes their folded copies
    checkpoints, cache = weights or weights_folder(), cache_folder()
    portrait, face, footage, find = _seen(models, *files, folder) if models else _known(*files)
    return Inputs(
        device=device,
        load=partial(load_from, checkpoints, cache),
        portrait=portrait,
        face=face,
        footage=footage,
        find_face=find,
        weights=about_weights(networks.digests),
        disk=disk_sizes(checkpoints, cache, networks.digests),
    )


Seen = tuple[Picture, Face, Clip | KnownFootage, Callable[[Picture], Face | None]]


def _seen(models: FaceModels, source: Path | None, driving: Path | None, folder: Path) -> Seen:
    from pipeline.face.find import find_faces
    from pipeline.files.animate import read_source
    from pipeline.files.demo_clip import write_demo

    picture = fitted(read_source(source) if source else read_picture(default_portrait()))
    face, _ = choose_face(picture, find_faces(picture, models))
    if driving is None:
        driving = folder / "demo.mp4"
        write_demo(driving, fps=DEMO_FPS)
    return picture, face, Clip(driving, models), lambda crop: next(iter(find_faces(crop, models)), None)


def _known(source: Path | None, driving: Path | None) -> Seen:
    if source or driving:
        raise CompareError(
            f"--source and --driving need the packages {' and '.join(READERS)}; "
            "`pip install -r requirements.txt` installs them."
        )
    return *picture_and_face(), KnownFootage(), lambda crop: None
