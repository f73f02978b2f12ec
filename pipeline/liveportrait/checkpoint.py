"""Read LivePortrait's checkpoints: nothing in them is executed, every tensor is checked.

A checkpoint is read once. What the networks need of it goes to the cache as safetensors, under a name with the
checkpoint's sha256, with spectral and batch normalisation folded into the convolutions.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.liveportrait.networks.appearance_extractor import AppearanceFeatureExtractor
from pipeline.liveportrait.networks.generator import SpadeGenerator
from pipeline.liveportrait.networks.layers import fold
from pipeline.liveportrait.networks.motion_extractor import MotionExtractor
from pipeline.liveportrait.networks.stitching import Perceptron, eye_retargeting, lip_retargeting, stitching
from pipeline.liveportrait.networks.warping import WarpingNetwork
from pipeline.models.liveportrait_hub import find
from pipeline.models.store import WeightsError, digest, whole_file

State = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Networks:
    """LivePortrait's networks, in inference mode. The perceptrons stay on the host."""

    appearance: AppearanceFeatureExtractor
    motion: MotionExtractor
    warping: WarpingNetwork
    generator: SpadeGenerator
    stitching: Perceptron
    lip: Perceptron
    eye: Perceptron
    digests: Mapping[str, str] = field(default_factory=dict)  # file name without ending -> sha256

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Networks:
        """Move the networks in place; those that draw every frame become `dtype`.

        The motion extractor stays float32, because rounding would be visible as jitter; so does the appearance
        extractor, which runs once per portrait. The perceptrons correct keypoints, which are on the host.
        """
        self.warping.to(device, dtype)
        self.generator.to(device, dtype)
        self.appearance.to(device)
        self.motion.to(device)
        return self


@dataclass(frozen=True)
class CheckpointPart:
    """One network in a checkpoint file."""

    field: str  # of Networks
    build: Callable[[], nn.Module]
    prefixes: tuple[str, ...] = ("",)  # of its keys, in either kind of file; a dot is a level of nesting


FILES: Mapping[str, tuple[CheckpointPart, ...]] = {
    "appearance_feature_extractor": (CheckpointPart("appearance", AppearanceFeatureExtractor),),
    "motion_extractor": (CheckpointPart("motion", MotionExtractor),),
    "warping_module": (CheckpointPart("warping", WarpingNetwork),),
    "spade_generator": (CheckpointPart("generator", SpadeGenerator),),
    "stitching_retargeting_module": (
        CheckpointPart("stitching", stitching, ("retarget_shoulder.module.", "retarget_shoulder_module.")),
        CheckpointPart("lip", lip_retargeting, ("retarget_mouth.module.", "retarget_mouth_module.")),
        CheckpointPart("eye", eye_retargeting, ("retarget_eye.module.", "retarget_eye_module.")),
    ),
}
"""File name without ending -> the networks in it."""


def load_networks(folder: Path, cache: Path) -> Networks:
    """Load all networks from the checkpoints in `folder`; `cache` keeps the folded ones for the next start.

    Raise WeightsError, which names the file and the tensors, if a checkpoint does not fit.
    """
    fields: dict[str, nn.Module] = {}
    digests: dict[str, str] = {}
    for name, parts in FILES.items():
        path = find(folder, name)
        digests[name] = digest(path)
        states = _cached(path, digests[name], parts, cache)
        fields |= {part.field: _restore(part, states) for part in parts}
    return Networks(**fields, digests=digests)  # type: ignore[arg-type]  # the parts are of the fields' types


def read_networks(path: Path, parts: tuple[CheckpointPart, ...]) -> dict[str, nn.Module]:
    """Read the networks of one checkpoint as stored, not folded; field of Networks -> network."""
    tensors = read_tensors(path)
    return {part.field: _fill(path, part, tensors) for part in parts}


def read_tensors(path: Path) -> State:
    """Read the tensors of a checkpoint, nested ones under "outer.inner". Nothing in the file is executed."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return _flatten(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors ({_first_line(error)}). Nothing in it was executed; use the official file."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, KeyError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path} cannot be read: it is cut short or is not a checkpoint; fetch it again.") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")


def _flatten(tree: object, prefix: str = "") -> State:
    if isinstance(tree, Tensor):
        return {prefix: tree}
    if not isinstance(tree, Mapping):
        return {}
    separator = "." if prefix else ""
    return {k: v for name, child in tree.items() for k, v in _flatten(child, f"{prefix}{separator}{name}").items()}


def _fill(path: Path, part: CheckpointPart, tensors: State) -> nn.Module:
    with torch.device("meta"):
        network = part.build().eval().requires_grad_(False)
    state = _take(part, tensors)
    expected = network.state_dict()
    for key in expected.keys() - state.keys():
        if key.endswith("num_batches_tracked"):  # only training reads it, and some conversions drop it
            state[key] = torch.tensor(0)
    differences = _differences(expected, state)
    if differences:
        raise WeightsError(f"{path} does not fit LivePortrait's {part.field} network: {differences}.")
    network.load_state_dict(state, assign=True)
    return network


def _take(part: CheckpointPart, tensors: State) -> State:
    for prefix in part.prefixes:
        state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if state:
            return state
    return {}


def _differences(expected: State, found: State) -> str:
    """Describe tensors that are missing, unknown, or of another shape or type; empty if there are none."""
    wrong = [
        f"{key} is {_describe(found[key])} instead of {_describe(value)}"
        for key, value in expected.items()
        if key in found and _describe(found[key]) != _describe(value)
    ]
    missing = [f"{key} is missing" for key in expected if key not in found]
    extra = [f"{key} is unknown" for key in found if key not in expected]
    found_wrong = missing + extra + wrong
    more = f" and {len(found_wrong) - 5} more" if len(found_wrong) > 5 else ""
    return "; ".join(found_wrong[:5]) + more


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def folded_file(path: Path, sha256: str, cache: Path) -> Path:
    """Return the file in the cache with the folded networks of the checkpoint `path`."""
    return cache / f"{path.stem}.{sha256[:16]}.folded.safetensors"


def _cached(path: Path, sha256: str, parts: tuple[CheckpointPart, ...], cache: Path) -> State:
    folded = folded_file(path, sha256, cache)
    if not folded.exists():
        networks = read_networks(path, parts)
        _save({f"{field}.{k}": v for field, net in networks.items() for k, v in fold(net).state_dict().items()}, folded)
    try:
        return load_file(folded)
    except SafetensorError as error:
        raise WeightsError(f"{folded} is damaged; delete it and start again.") from error


def _save(state: State, path: Path) -> None:
    with whole_file(path) as fresh:
        try:
            save_file({key: value.contiguous() for key, value in state.items()}, fresh)
        except SafetensorError as error:  # such as a full disk, which `whole_file` explains
            raise OSError(str(error)) from error


def _restore(part: CheckpointPart, states: State) -> nn.Module:
    with torch.device("meta"):
        network = fold(part.build())
    prefix = f"{part.field}."
    network.load_state_dict({k.removeprefix(prefix): v for k, v in states.items() if k.startswith(prefix)}, assign=True)
    return network
