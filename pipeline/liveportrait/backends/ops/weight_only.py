"""Weights stored in 8 bits, arithmetic as before: a quarter of the memory, and a conversion in every call.

There is one scale for each output channel. FP8 is E4M3 (Micikevicius et al., arXiv:2209.05433).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

Kind = Literal["int8", "fp8"]

DTYPES = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
LARGEST = {"int8": 127.0, "fp8": 448.0}
SMALLEST = 4096  # numbers in a weight that is worth storing


class Restored(nn.Module):
    """Restores a weight, nearly, from 8 bits."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self._kind: Kind = kind

    def forward(self, stored: Tensor, scale: Tensor) -> Tensor:
        """Return `stored` in 8 bits times `scale`, one for each of the first axis, in the scale's type."""
        return stored.to(scale.dtype) * scale

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest values that 8 bits hold, and the scale."""
        scale = weight.abs().amax(tuple(range(1, weight.dim())), keepdim=True).clamp(min=1e-12) / LARGEST[self._kind]
        levels = weight / scale
        levels = levels.round() if self._kind == "int8" else levels
        return levels.to(DTYPES[self._kind]), scale


def weights_only(network: nn.Module, kind: Kind) -> None:
    """Store the large weights of convolutions and linear layers in 8 bits, in place."""
    for module in list(network.modules()):
        weight = getattr(module, "weight", None)
        if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear)) and weight is not None and weight.numel() >= SMALLEST:
            weight.requires_grad_(False)
            parametrize.register_parametrization(module, "weight", Restored(kind), unsafe=True)
