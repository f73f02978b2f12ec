"""LivePortrait's checkpoints: which files of the model hub they are, and how they are downloaded and verified.

Imports neither PyTorch nor the hub's client at the top: every start asks whether the files are there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.models import store

REPOSITORY: Final = "KwaiVGI/LivePortrait"
REVISION: Final = "main"  # the sha256 of each file pins what is accepted


@dataclass(frozen=True)
class HubFile:
    """A file of the repository. Hash and size are None where only the hub knows them."""

    path: str
    sha256: str | None = None
    size: int | None = None  # bytes

    @property
    def name(self) -> str:
        return Path(self.path).stem


@dataclass(frozen=True)
class WeightSet:
    """Checkpoints that belong together, under the MIT licence."""

    name: str  # as in `run.py weights fetch NAME`
    title: str
    files: tuple[HubFile, ...]

    def rows(self) -> list[store.WeightsRow]:
        """Return every file with its state; files that exist are read and hashed."""
        return [self._row(file) for file in self.files]

    def is_begun(self) -> bool:
        """Return whether any of the files is there, except the last: both sets share it."""
        return any((weights_folder() / file.path).is_file() for file in self.files[:-1])

    def verify(self) -> list[store.WeightsRow]:
        """Return the rows. Raise WeightsError if a file is missing or damaged."""
        rows = self.rows()
        for row in rows:
            if row.state != "present":
                raise store.WeightsError(f"{row.path} is {row.state}; run `python run.py weights fetch {self.name}`.")
        return rows

    def fetch(self, progress: store.DownloadProgress | None = None) -> list[store.WeightsRow]:
        """Download and verify what is missing or damaged; continue where an earlier attempt stopped.

        Raise WeightsError if the hub cannot be reached, the disk cannot be written or a file has the wrong content.
        """
        todo = [file for file in self.files if self._row(file).state != "present"]
        meter = _Meter(sum(file.size or 0 for file in todo), progress or (lambda done, total: None))
        with store.explain_disk_errors(weights_folder()):
            _check_room(todo)
            for file in todo:
                _fetch(file, weights_folder() / file.path, meter)
        return self.verify()

    def _row(self, file: HubFile) -> store.WeightsRow:
        path = weights_folder() / file.path
        title = f"{self.title}: {file.name.replace('_', ' ')}"
        state = store.file_state(path, file.sha256)
        return store.WeightsRow(title, path.name, "MIT", file.size, file.sha256, state, path)


HUMAN = WeightSet(
    "liveportrait",
    "LivePortrait",
    (
        HubFile(
            "liveportrait/base_models/appearance_feature_extractor.pth",
            "5279bb8654293dbdf327030b397f107237dd9212fb11dd75b83dfb635211ceb5",
            3387959,
        ),
        HubFile(
            "liveportrait/base_models/motion_extractor.pth",
            "251e6a94ad667a1d0c69526d292677165110ef7f0cf0f6d199f0e414e8aa0ca5",
            112545506,
        ),
        HubFile(
            "liveportrait/base_models/warping_module.pth",
            "2f61a6f265fe344f14132364859a78bdbbc2068577170693da57fb96d636e282",
            182180086,
        ),
        HubFile(
            "liveportrait/base_models/spade_generator.pth",
            "4780afc7909a9f84e24c01d73b31a555ef651521a1fe3b2429bd04534d992aee",
            221813590,
        ),
        HubFile(
            "liveportrait/retargeting_models/stitching_retargeting_module.pth",
            "3652d5a3f95099141a56986aaddec92fadf0a73c87a20fac9a2c07c32b28b611",
            2393098,
        ),
    ),
)
ANIMALS = WeightSet(
    "animals",
    "LivePortrait, animals",
    (
        *(
            HubFile(f"liveportrait_animals/base_models_v1.1/{name}.pth")
            for name in ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator")
        ),
        HUMAN.files[-1],
    ),
)
FOLDERS: Final = (  # inside the user's folder: a copy of the repository, one set of it, or all files side by side
    "liveportrait/base_models",
    "liveportrait/retargeting_models",
    "base_models",
    "retargeting_models",
    "base_models_v1.1",
    "../liveportrait/retargeting_models",
    "",
)
ENDINGS: Final = (".pth", ".safetensors")


def weights_folder() -> Path:
    """Return the folder of the downloaded files, which has the layout of the repository."""
    return store.cache_folder() / "LivePortrait"


def find(folder: Path, name: str) -> Path:
    """Return the path of the checkpoint `name` in `folder`, in any of FOLDERS. Raise WeightsError if there is none."""
    for inner in FOLDERS:
        for ending in ENDINGS:
            path = folder / inner / f"{name}{ending}"
            if path.is_file():
                return path
    raise store.WeightsError(
        f"There is no {name}.pth or {name}.safetensors in {folder}; run `python run.py weights fetch liveportrait`, "
        "or pass with --weights a folder with LivePortrait's files, in the layout of its repository or side by side."
    )


def is_complete(folder: Path) -> bool:
    """Return whether every checkpoint that LivePortrait needs exists; the content is not checked."""
    try:
        return all(find(folder, file.name) for file in HUMAN.files)
    except store.WeightsError:
        return False


def unknown_checkpoints(digests: Mapping[str, str]) -> list[str]:
    """Return the names of those checkpoints whose sha256 is not the official one."""
    official = {file.name: file.sha256 for file in HUMAN.files}
    return [name for name, sha256 in digests.items() if official.get(name) != sha256]


def _check_room(files: list[HubFile]) -> None:
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum((file.size or 0) - _length(_part(folder / file.path)) for file in files)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise store.WeightsError(
            f"LivePortrait's weights need {needed / 1e6:.0f} MB more, but {folder} has {free / 1e6:.0f} MB left; "
            "make room there, or name another folder in the environment variable PUPPET_CACHE."
        )


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Meter:
    """Reports the bytes of several downloads as one; takes the place of the hub client's progress bars."""

    def __init__(self, total: int, progress: store.DownloadProgress) -> None:
        self._total, self._progress = total, progress
        self._before = self._done = 0  # bytes of finished files, of all files

    def bar(self, initial: int = 0, **_: Any) -> AbstractContextManager[_Meter]:
        """Begin a file of which `initial` bytes are here; the hub's client calls this as a tqdm class."""
        self._done = self._before + initial
        return nullcontext(self)

    def update(self, count: int) -> None:
        """Report `count` more bytes."""
        self._done += count
        self._progress(self._done, max(self._total, self._done))

    def end(self, size: int) -> None:
        """Count a file of `size` bytes as finished, also where none of it was downloaded now."""
        if self._done != self._before + size:
            self.update(self._before + size - self._done)
        self._before = self._done


def _fetch(file: HubFile, path: Path, meter: _Meter) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    expected, found = _download(file, part, meter), store.digest(part)
    if expected not in (None, found):
        part.unlink()
        raise store.WeightsError(
            f"{file.path} arrived with the sha256 {found}, expected {expected}, and was removed. Try again; if it "
            "stays so, a proxy changes the file, or the hub has a newer version: then update this program."
        )
    part.replace(path)
    meter.end(_length(path))


def _download(file: HubFile, part: Path, meter: _Meter) -> str | None:
    """Download the rest of `part` and return the sha256 that it should have, or None if nobody states it."""
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HTTPError

    constants.HF_HUB_DISABLE_TELEMETRY = True  # its user agent would name more than this client
    cached = try_to_load_from_cache(REPOSITORY, file.path, revision=REVISION)
    if isinstance(cached, str) and store.file_state(Path(cached), file.sha256) == "present":
        shutil.copyfile(cached, part)
        return file.sha256
    try:
        stated = _receive(file, part, meter)
    except (HTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, which the caller explains
        raise store.WeightsError(_unreachable(file, error)) from error
    return file.sha256 or stated


def _receive(file: HubFile, part: Path, meter: _Meter) -> str | None:
    """Append the rest of a file to `part` and return the sha256 that the hub states, or None.

    `hf_hub_download` would throw away what has arrived when the program ends; `http_get` below it can continue.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get

    url = hf_hub_url(REPOSITORY, file.path, revision=REVISION)
    stated = get_hf_file_metadata(url, token=False, retry_on_errors=True)
    size = stated.size or file.size
    with part.open("ab") as stored:
        if size is not None and stored.tell() > size:
            stored.truncate(0)  # it belongs to another file
        start = stored.seek(0, os.SEEK_END)
        http_get(url, stored, resume_size=start, expected_size=size, tqdm_class=meter.bar)
    return stated.etag if len(stated.etag or "") == 64 else None  # the ETag of a large file is its sha256


def _unreachable(file: HubFile, error: Exception) -> str:
    reason = str(error)
    if isinstance(error, ConnectionError):  # the client's offline mode
        reason = "HF_HUB_OFFLINE is set; unset it to download"
    elif (response := getattr(error, "response", None)) is not None:
        reason = f"the hub answers {response.status_code} {response.reason_phrase}"
    return (
        f"{file.path} could not be fetched from {REPOSITORY} ({reason}). Run the command again to continue where it "
        "stopped, or download the files of that repository with a browser and put them into "
        f"{weights_folder()} under the same paths, or name their folder with --weights."
    )
