"""Stand-in weights for LivePortrait: random, identical on every machine, with activations of order one.

    python -m tests.support.stand_in_weights [--seed 0] FOLDER

writes them in the official file layout. Each value is the sum of four uniform 16-bit integers, scaled to mean 0 and
variance 1, from the stream PCG64(SeedSequence([seed, crc32("network/key")])).
"""

import argparse
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.liveportrait.checkpoint import FILES, CheckpointPart, Networks
from pipeline.liveportrait.networks.layers import SpectralConv2d
from pipeline.liveportrait.networks.motion_extractor import GlobalResponseNorm

SEEDS = {  # field of Networks -> the name that seeds its tensors
    "appearance": "appearance_feature_extractor",
    "motion": "motion_extractor",
    "warping": "warping_module",
    "generator": "spade_generator",
    "stitching": "stitching",
    "lip": "lip",
    "eye": "eye",
}
GAINS = {
    "appearance": {r"resblocks_3d.*conv2": 0.5},
    "motion": {
        r"fc_kp": 0.22,
        r"fc_exp": 0.04,
        r"fc_t": 0.06,
        r"fc_scale": 0.08,
        r"fc_(pitch|yaw|roll)": 3.0,
        r"dwconv|pwconv": 1.0,
    },
    "warping": {r"hourglass": 1.5, r"mask": 2.0, r"occlusion": 1.2},
    "generator": {r"mlp_gamma": 0.4, r"mlp_beta": 0.5, r"conv_img": 1.3},
    "stitching": {r"mlp\.6": 0.05},
    "lip": {r"mlp\.6": 0.05},
    "eye": {r"mlp\.10": 0.05},
}
BIASES = {  # (mean, scale) where it is not (0, 0.1)
    "motion": {r"fc_scale": (1.3, 0.05), r"fc_": (0.0, 0.02)},
    "stitching": {r"mlp\.6": (0.0, 0.01)},
    "lip": {r"mlp\.6": (0.0, 0.01)},
    "eye": {r"mlp\.10": (0.0, 0.01)},
}
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm)


def draw(seed: int, name: str, count: int) -> np.ndarray:
    """Return `count` float64 values of mean 0 and variance 1."""
    raw = np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode())])).random_raw(count)
    lanes = np.uint64(0x0000FFFF0000FFFF)
    pairs = (raw & lanes) + ((raw >> np.uint64(16)) & lanes)
    total = (pairs & np.uint64(0xFFFFFFFF)) + (pairs >> np.uint64(32))
    return (total.astype(np.int64) - 131070) / np.sqrt((65536.0**2 - 1) / 3)


def stand_in(part: CheckpointPart, seed: int) -> dict[str, Tensor]:
    """Return the official state dict of one network, filled with stand-in values."""
    with torch.device("meta"):
        network = part.build()
    state = {}
    for name, module in network.named_modules():
        for leaf, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            key = f"{name}.{leaf}"
            if leaf == "num_batches_tracked":
                state[key] = torch.tensor(1000)
            elif leaf not in ("weight_u", "weight_v"):
                mean, scale = _distribution(part.field, name, module, leaf, tensor)
                values = mean + scale * draw(seed, f"{SEEDS[part.field]}/{key}", tensor.numel())
                state[key] = torch.from_numpy(values.astype(np.float32)).reshape(tensor.shape)
        if isinstance(module, SpectralConv2d):
            vectors = _singular_vectors(state[f"{name}.weight_orig"])
            state |= {f"{name}.weight_{letter}": vector for letter, vector in zip("uv", vectors, strict=True)}
    return {key: state[key] for key in network.state_dict()}


def stand_in_networks(seed: int) -> Networks:
    """Return all networks with stand-in weights, not folded."""
    fields = {}
    for part in (part for parts in FILES.values() for part in parts):
        with torch.device("meta"):
            network = part.build().eval().requires_grad_(False)
        network.load_state_dict(stand_in(part, seed), assign=True)
        fields[part.field] = network
    return Networks(**fields)


def _distribution(field: str, name: str, module: nn.Module, leaf: str, tensor: Tensor) -> tuple[float, float]:
    """Return the mean and scale of one tensor."""
    fixed = {"running_mean": (0.0, 0.1), "running_var": (1.0, 0.2), "beta": (0.0, 0.1), "gamma": (0.0, 0.3)}
    if leaf in fixed and isinstance(module, (*NORMS, GlobalResponseNorm)):
        return fixed[leaf]
    if isinstance(module, NORMS) and leaf == "weight":
        return 1.0, 0.1
    if leaf == "bias":
        return _first(BIASES.get(field, {}), name, (0.0, 0.1)) if not isinstance(module, NORMS) else (0.0, 0.1)
    return 0.0, _first(GAINS.get(field, {}), name, 2**0.5) / np.sqrt(tensor[0].numel())


def _first(table, name, default):
    return next((value for pattern, value in table.items() if re.search(pattern, name)), default)


def _singular_vectors(weight: Tensor) -> tuple[Tensor, Tensor]:
    matrix = weight.flatten(1).double()
    _, vectors = torch.linalg.eigh(matrix @ matrix.T)
    left = vectors[:, -1]
    right = matrix.T @ left
    return left.float(), (right / right.norm()).float()


def stand_in_files(seed: int, names: Iterable[str] = tuple(FILES)) -> Iterator[tuple[str, dict]]:
    """Yield the official checkpoints as (path in the folder, content)."""
    for name in names:
        parts = FILES[name]
        states = {part: stand_in(part, seed) for part in parts}
        if len(parts) == 1:
            yield f"liveportrait/base_models/{name}.pth", states[parts[0]]
        else:
            nested = {part.prefixes[0].split(".")[0]: _prefixed("module.", state) for part, state in states.items()}
            yield f"liveportrait/retargeting_models/{name}.pth", nested


def _prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write LivePortrait stand-in weights in the official layout.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for path, content in stand_in_files(arguments.seed):
        (arguments.folder / path).parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, arguments.folder / path)
