"""A backend whose networks are sessions of another runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.core.animator import Progress
from pipeline.liveportrait.backend import BackendError, PreparedSource
from pipeline.liveportrait.backends.export import DTYPES, Exportable, exportables
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.networks.motion_extractor import RawMotion
from pipeline.models.store import cache_folder

Run = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""Runs a network: contiguous inputs by name, on the backend's device, to outputs by name."""

DRAWING = ("appearance", "motion", "warping", "generator")


class RuntimeBackend(ABC):
    """Opens each network when it is first needed. Making it takes minutes once; it is kept in a folder."""

    name: str

    def __init__(
        self, networks: Networks, device: torch.device, dtype: torch.dtype, folder: Path | None = None
    ) -> None:
        """Take folded networks in float32. `folder` keeps what is made of them; None is in the user's cache."""
        if dtype not in DTYPES.values():
            raise BackendError(f"--backend {self.name} computes in fp32 or fp16; choose one with --precision.")
        self.device, self.dtype = device, dtype
        self._library = self.library(device)
        made_of = exportables(networks, dtype, device)
        self._unopened = {name: made_of[name] for name in DRAWING}
        self._blank = {name: _blank(network, device) for name, network in self._unopened.items()}
        self._folder = folder or cache_folder() / self.name
        self._opened: dict[str, Run] = {}

    @abstractmethod
    def library(self, device: torch.device) -> Any:
        """Return the runtime's module. Raise BackendError if it is missing or cannot use the device."""

    @abstractmethod
    def open(self, name: str, network: Exportable) -> Run:
        """Return the network ready to run, from `folder` if it is there."""

    def warm_up(self, progress: Progress) -> None:
        """Open all networks and run each once, on zeros."""
        for done, (name, inputs) in enumerate(self._blank.items(), 1):
            self._run(name, **inputs)
            progress(done, len(self._blank))

    def appearance(self, picture: Tensor) -> Tensor:
        return self._run("appearance", picture=picture)["feature"]

    def motion(self, pictures: Tensor) -> RawMotion:
        return RawMotion(**self._run("motion", picture=pictures))

    def prepare_source(self, feature: Tensor, keypoints: Tensor) -> PreparedSource:
        return PreparedSource(feature, keypoints)

    def draw(self, sources: Sequence[PreparedSource], driven: Tensor) -> Tensor:
        features = torch.cat([source.feature for source in sources])
        keypoints = torch.cat([source.keypoints for source in sources])
        warped = self._run("warping", feature=features, driving=driven, source=keypoints)
        return self._run("generator", **warped)["picture"]

    @torch.no_grad()
    def _run(self, name: str, **inputs: Tensor) -> dict[str, Tensor]:
        if name not in self._opened:
            self._opened[name] = self.open(name, self._unopened[name])
            del self._unopened[name]
        return self._opened[name]({key: value.contiguous() for key, value in inputs.items()})


def _blank(network: Exportable, device: torch.device) -> dict[str, Tensor]:
    return {name: torch.zeros_like(value[:1], device=device) for name, value in network.inputs.items()}
