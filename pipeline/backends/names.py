"""The one table of backends, by the names that `--backend` takes. Each is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch

from pipeline.backends.backend import Backend
from pipeline.liveportrait.checkpoint import Networks

BackendName = Literal["eager"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)

Build = Callable[[Networks, torch.dtype], Backend]


def builder(name: BackendName, device: torch.device) -> Build:
    """What makes the backend of this name for `device` of networks, which it takes over, and the type it draws in."""
    makers: dict[BackendName, Callable[[torch.device, Networks, torch.dtype], Backend]] = {"eager": _eager}
    return partial(makers[name], device)


def _eager(device: torch.device, networks: Networks, dtype: torch.dtype) -> Backend:
    from pipeline.backends.eager import Eager

    return Eager(networks, device, dtype)
