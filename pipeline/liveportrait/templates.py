"""Read and write recorded motion: LivePortrait's templates (pickles, of which only arrays are read), NumPy archives."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.liveportrait.keypoint_motion import KeypointMotion

Array = NDArray[np.float32]

FORMAT = 1
DEFAULT_FPS = 25.0
SHAPES = {
    "scale": (1,),
    "R": (3, 3),
    "exp": (21, 3),
    "t": (3,),
    "kp": (21, 3),
    "x_s": (21, 3),
    "c_eyes": (2,),
    "c_lip": (1,),
}
OPTIONAL = ("kp", "x_s", "c_eyes", "c_lip")


class TemplateError(ValueError):
    """A motion file cannot be used; the message says why."""


@dataclass(frozen=True, eq=False)
class MotionTemplate:
    """The motion of N frames: float32 arrays, named as in the files."""

    fps: float
    scale: Array  # (N, 1)
    R: Array  # (N, 3, 3) for row vectors
    exp: Array  # (N, 21, 3)
    t: Array  # (N, 3)
    kp: Array | None = None  # (N, 21, 3) canonical keypoints
    x_s: Array | None = None  # (N, 21, 3) keypoints in the picture
    c_eyes: Array | None = None  # (N, 2) ratios: left of the picture, right
    c_lip: Array | None = None  # (N, 1)

    def __len__(self) -> int:
        return len(self.scale)

    def motion(self) -> KeypointMotion:
        """Return all frames. Driving needs no keypoints, so they are zero if the file has none."""
        keypoints = np.zeros_like(self.exp) if self.kp is None else self.kp
        return KeypointMotion(*(torch.from_numpy(a) for a in (keypoints, self.exp, self.R, self.scale, self.t)))


def load_template(path: Path) -> MotionTemplate:
    """Read an archive or a pickle; nothing in it is executed. Raise TemplateError if it is neither or incomplete."""
    data = path.read_bytes()
    try:
        fps, arrays = _from_archive(data) if zipfile.is_zipfile(io.BytesIO(data)) else _from_pickle(data)
        return _checked(fps, arrays)
    except TemplateError as error:
        raise TemplateError(f"{path} is not a motion template: {error}") from error
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise TemplateError(f"{path} is not a motion template, or it is damaged ({error}).") from error


def save_template(path: Path, template: MotionTemplate) -> None:
    """Write the template as a NumPy archive without pickles."""
    arrays = {name: value for name in SHAPES if (value := getattr(template, name)) is not None}
    fps, frames = np.float64(template.fps), np.int64(len(template))
    with path.open("wb") as file:
        np.savez_compressed(file, format=np.int64(FORMAT), n_frames=frames, output_fps=fps, **arrays)


def _from_archive(data: bytes) -> tuple[float, dict[str, Any]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return float(archive["output_fps"]), {name: archive[name] for name in SHAPES if name in archive}


def _from_pickle(data: bytes) -> tuple[float, dict[str, Any]]:
    tree = _ArrayUnpickler(io.BytesIO(data)).load()
    if not isinstance(tree, dict) or not isinstance(tree.get("motion"), list):
        raise TemplateError("it has no list of frames named motion.")
    frames = [({"R": frame["R_d"]} if "R_d" in frame else {}) | frame for frame in tree["motion"]]
    columns = {name: [frame[name] for frame in frames] for name in SHAPES if frames and name in frames[0]}
    for name in ("c_eyes", "c_lip"):
        column = tree.get(f"{name}_lst") or tree.get(f"{name.replace('c_', 'c_d_')}_lst")
        columns |= {name: column} if column else {}
    return float(tree.get("output_fps", DEFAULT_FPS)), {name: np.concatenate(rows) for name, rows in columns.items()}


def _checked(fps: float, arrays: dict[str, Any]) -> MotionTemplate:
    missing = [name for name in SHAPES if name not in arrays and name not in OPTIONAL]
    if missing:
        raise TemplateError(f"{', '.join(missing)} is missing.")
    if not fps > 0:
        raise TemplateError(f"its frame rate is {fps}.")
    count = len(arrays["scale"])
    for name, array in arrays.items():
        if array.shape != (count, *SHAPES[name]) or not count:
            raise TemplateError(f"{name} has the shape {array.shape} instead of {(count or 'N', *SHAPES[name])}.")
        if not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            raise TemplateError(f"{name} contains values that are not finite numbers.")
    return MotionTemplate(fps, **{name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()})


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds NumPy arrays and nothing else."""

    _reconstruct = np.empty(0).__reduce__()[0]  # the function itself has moved between versions of NumPy
    _globals = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._globals:
            raise TemplateError(f"it asks for {module}.{name}, which no template needs; nothing in it was executed.")
        return self._globals[module, name]
