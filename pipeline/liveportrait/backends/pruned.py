"""Structured pruning (Li et al., arXiv:1608.08710): channels of the generator and the hourglass are removed.

Nothing is trained afterwards, so what a channel did is missing in the picture. With the stand-in weights, all of whose
channels matter, little is left of the picture.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.liveportrait.backends.compiled import Compiled
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.networks.appearance_extractor import DEPTH
from pipeline.liveportrait.networks.generator import Spade, SpadeBlock

RATIO = 0.25
MULTIPLE = 16  # of channels, for tensor cores and AVX-512


class Pruned(Compiled):
    """Runs like Compiled, without a quarter of the channels that can be removed."""

    name = "pruned"

    def __init__(self, networks: Networks, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(pruned(networks, RATIO), device, dtype)


@dataclass(frozen=True)
class Reader:
    """A convolution, and where in its inputs the channels of a group are: from `first`, each `repeats` in a row."""

    conv: Any
    first: int = 0
    repeats: int = 1

    def columns(self, width: int) -> slice:
        """Return the columns of `width` channels."""
        return slice(self.first, self.first + width * self.repeats)


@dataclass(frozen=True)
class Group:
    """Channels that are removed together: outputs of the same number of all `makers`, read by `readers`."""

    makers: Sequence[Any]
    readers: Sequence[Reader]

    @property
    def width(self) -> int:
        """Return the number of channels."""
        return len(self.makers[0].weight)

    def importance(self) -> Tensor:
        """Return (width,) the size of the weights that make a channel times those that read it."""
        made = sum(conv.weight.flatten(1).square().sum(1) + _squared_bias(conv) for conv in self.makers)
        read = torch.zeros(self.width)
        for reader in self.readers:
            columns = reader.conv.weight.transpose(0, 1)[reader.columns(self.width)]
            read += columns.reshape(self.width, -1).square().sum(1)
        return (made * read).sqrt()

    def kept(self, ratio: float) -> Tensor:
        """Return (width,) bool: the most important channels, about 1 - `ratio` of all."""
        count = min(self.width, max(1, round(self.width * (1 - ratio) / MULTIPLE)) * MULTIPLE)
        kept = torch.zeros(self.width, dtype=torch.bool)
        kept[self.importance().argsort(descending=True, stable=True)[:count]] = True
        return kept


def pruned(networks: Networks, ratio: float) -> Networks:
    """Return folded `networks` on the CPU without a share `ratio` of the inner channels of generator and hourglass.

    The remaining widths are multiples of 16, or unchanged. Generator and warping network are copies, the others shared.
    Raise ValueError if the ratio is not in 0..1 (1 excluded).
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"A share of {ratio:g} of the channels cannot be removed; use 0 or more, and less than 1.")
    networks = dataclasses.replace(
        networks, generator=copy.deepcopy(networks.generator), warping=copy.deepcopy(networks.warping)
    )
    _remove([*_generator_groups(networks.generator), *_hourglass_groups(networks.warping)], ratio)
    for spade in (module for module in networks.generator.modules() if isinstance(module, Spade)):
        spade.param_free_norm.num_features = spade.mlp_gamma.out_channels
    return networks


def _squared_bias(conv: Any) -> Tensor:
    return torch.zeros(len(conv.weight)) if conv.bias is None else conv.bias.square()


def _generator_groups(generator: nn.Module) -> Iterator[Group]:
    """Yield SPADE's hidden layers, and what is between the two convolutions of a block."""
    for module in generator.modules():
        if isinstance(module, Spade):
            yield Group([module.mlp_shared[0]], [Reader(module.mlp_gamma), Reader(module.mlp_beta)])
        if isinstance(module, SpadeBlock):
            makers = [module.conv_0, module.norm_1.mlp_gamma, module.norm_1.mlp_beta]
            yield Group(makers, [Reader(module.conv_1)])


def _hourglass_groups(warping: Any) -> Iterator[Group]:
    """Yield each level on the way down and up, and what the heads read."""
    dense = warping.dense_motion_network
    decoder = dense.hourglass.decoder
    down = [block.conv for block in dense.hourglass.encoder.down_blocks]
    up = [block.conv for block in decoder.up_blocks]
    for index, conv in enumerate(down):
        across = len(down) - 1 - index  # the up-block that reads this level
        first = up[across - 1].out_channels if across else 0
        deeper = [Reader(down[index + 1])] if across else []
        yield Group([conv], [*deeper, Reader(up[across], first)])
    for conv, reader in zip(up, [*up[1:], decoder.conv], strict=True):
        yield Group([conv], [Reader(reader)])
    yield Group([decoder.conv], [Reader(dense.mask), Reader(dense.occlusion, repeats=DEPTH)])


def _remove(groups: Sequence[Group], ratio: float) -> None:
    outputs: dict[Any, Tensor] = {}
    inputs: dict[Any, Tensor] = {}
    for group in groups:
        kept = group.kept(ratio)
        outputs |= dict.fromkeys(group.makers, kept)
        for reader in group.readers:
            mask = inputs.setdefault(reader.conv, torch.ones(reader.conv.in_channels, dtype=torch.bool))
            mask[reader.columns(group.width)] = kept.repeat_interleave(reader.repeats)
    for conv, mask in outputs.items():
        conv.weight = nn.Parameter(conv.weight[mask], requires_grad=False)
        conv.bias = None if conv.bias is None else nn.Parameter(conv.bias[mask], requires_grad=False)
        conv.out_channels = len(conv.weight)
    for conv, mask in inputs.items():
        conv.weight = nn.Parameter(conv.weight[:, mask], requires_grad=False)
        conv.in_channels = conv.weight.shape[1]
