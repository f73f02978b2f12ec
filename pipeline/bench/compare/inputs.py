"""The inputs that all setups share: the device, the networks' files, the portrait, the driving video."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from pipeline.bench.compare.footage import Clip, Footage, KnownFootage
from pipeline.bench.compare.plain_backend import Plain
from pipeline.bench.compare.setup import Setup
from pipeline.bench.known_driver import picture_and_face
from pipeline.core.animator import Picture
from pipeline.face.face import Face
from pipeline.imaging.source_picture import choose_face, default_portrait, read_picture
from pipeline.liveportrait.backend import Backend
from pipeline.liveportrait.backends.registry import builder
from pipeline.liveportrait.checkpoint import FILES, Networks, folded_file, load_networks, read_networks
from pipeline.liveportrait.crop import fitted
from pipeline.load_liveportrait import about_weights, load_liveportrait
from pipeline.models.face_models import FaceModels
from pipeline.models.liveportrait_hub import find, weights_folder
from pipeline.models.store import cache_folder

DEMO_FPS = 10  # so that its twelve seconds are read in one second
READERS = ("av", "ai_edge_litert")  # packages that read videos and find faces


class CompareError(RuntimeError):
    """Nothing can be compared; the text says why and what to do."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs of a whole comparison."""

    device: torch.device
    load: Callable[[bool], Networks]  # new ones in float32, with constant norms folded or as published
    portrait: Picture
    face: Face  # in the portrait
    footage: Footage
    find_face: Callable[[Picture], Face | None]  # the largest face; always None without face models
    weights: str  # in words
    disk: tuple[int, int]  # bytes of the networks' files: as published, and as cached for the next start

    def networks(self, setup: Setup) -> Networks:
        """Return new networks, pruned as the setup says."""
        networks = self.load(setup.folded or setup.backend != "plain")
        if setup.pruned:
            from pipeline.liveportrait.backends.pruned import pruned

            networks = pruned(networks, setup.pruned)
        return networks

    def backend(self, setup: Setup, networks: Networks, dtype: torch.dtype) -> Backend:
        """Return the setup's backend, which takes over the networks."""
        if setup.backend == "plain":
            return Plain(networks, self.device, setup)
        return builder(setup.backend, self.device)(networks, dtype)


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
    digests = load_liveportrait(weights).digests  # also writes folded copies of the networks
    checkpoints, cache = weights or weights_folder(), cache_folder()
    return Inputs(
        device,
        partial(load_from, checkpoints, cache),
        *(_seen(models, *files, folder) if models else _known(*files)),
        weights=about_weights(digests),
        disk=_disk_sizes(checkpoints, cache, digests),
    )


Seen = tuple[Picture, Face, Footage, Callable[[Picture], Face | None]]


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


def load_from(folder: Path, cache: Path, folded: bool) -> Networks:
    """Return the networks of the checkpoints in `folder`. Raise WeightsError if they cannot be read."""
    if folded:
        return load_networks(folder, cache)
    found = {name: read_networks(find(folder, name), parts) for name, parts in FILES.items()}
    return Networks(**{field: network for networks in found.values() for field, network in networks.items()})  # type: ignore[arg-type]  # the parts are of the fields' types


def _disk_sizes(folder: Path, cache: Path, digests: Mapping[str, str]) -> tuple[int, int]:
    """Return the bytes of the checkpoints in `folder` and of their folded copies, whose sha256 are in `digests`."""
    paths = {name: find(folder, name) for name in digests}
    folded = (folded_file(path, digests[name], cache) for name, path in paths.items())
    return sum(path.stat().st_size for path in paths.values()), sum(path.stat().st_size for path in folded)
