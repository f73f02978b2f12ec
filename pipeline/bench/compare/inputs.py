"""The inputs that all setups share: the device, the networks' files, the portrait, the driving video."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.bench.compare.footage import Footage
from pipeline.bench.compare.plain_backend import Plain
from pipeline.bench.compare.setup import Setup
from pipeline.core.animator import Picture
from pipeline.face.face import Face
from pipeline.liveportrait.backend import Backend
from pipeline.liveportrait.backends.registry import builder
from pipeline.liveportrait.checkpoint import FILES, Networks, folded_file, load_networks, read_networks
from pipeline.models.liveportrait_hub import find


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


def load_from(folder: Path, cache: Path, folded: bool) -> Networks:
    """Return the networks of the checkpoints in `folder`. Raise WeightsError if they cannot be read."""
    if folded:
        return load_networks(folder, cache)
    found = {name: read_networks(find(folder, name), parts) for name, parts in FILES.items()}
    return Networks(**{field: network for networks in found.values() for field, network in networks.items()})  # type: ignore[arg-type]  # the parts are of the fields' types


def disk_sizes(folder: Path, cache: Path, digests: Mapping[str, str]) -> tuple[int, int]:
    """Return the bytes of the checkpoints in `folder` and of their folded copies, whose sha256 are in `digests`."""
    paths = {name: find(folder, name) for name in digests}
    folded = (folded_file(path, digests[name], cache) for name, path in paths.items())
    return sum(path.stat().st_size for path in paths.values()), sum(path.stat().st_size for path in folded)
