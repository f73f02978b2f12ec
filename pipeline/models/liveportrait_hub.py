"""LivePortrait's checkpoints: which files of the model hub they are, and how they reach the user's disk, verified.

Without PyTorch: whether the files are there is asked at every start.
"""

from __future__ import annotations

import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, Final

from pipeline.models.store import (
    DownloadProgress,
    WeightsError,
    WeightsRow,
    cache_folder,
    digest,
    explain_disk_errors,
    file_state,
)

REPOSITORY: Final = "KwaiVGI/LivePortrait"
HUB: Final = "https://huggingface.co"  # HF_ENDPOINT names another, as for the hub's own tools
REVISION: Final = "main"  # what is fetched is pinned by sha256
ATTEMPTS: Final = 5  # in a row that bring nothing new
PAUSE = 1.0  # seconds after the first of them, longer after each
SECONDS: Final = 30.0  # without a byte
CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class HubFile:
    """A file of the repository. The animals' hashes and sizes are known to the hub only: None."""

    path: str
    sha256: str | None = None
    size: int | None = None  # bytes

    @property
    def name(self) -> str:
        return Path(self.path).stem


@dataclass(frozen=True)
class WeightSet:
    """Checkpoints that belong together. MIT licence, as the model."""

    name: str  # as in `run.py weights fetch NAME`
    title: str
    files: tuple[HubFile, ...]

    def rows(self) -> list[WeightsRow]:
        """Every file with its state; reads and hashes what is there."""
        return [self._row(file) for file in self.files]

    def is_begun(self) -> bool:
        """Whether any of the files is there; the last, for stitching, is of both sets."""
        return any((weights_folder() / file.path).is_file() for file in self.files[:-1])

    def verify(self) -> list[WeightsRow]:
        """The rows, all present. WeightsError where a file is missing or not what it should be."""
        rows = self.rows()
        for row in rows:
            if row.state != "present":
                raise WeightsError(f"{row.path} is {row.state}; run `python run.py weights fetch {self.name}`.")
        return rows

    def fetch(self, progress: DownloadProgress | None = None) -> list[WeightsRow]:
        """Download what is missing or damaged, going on where an earlier attempt ended, and verify it.

        Raises WeightsError: no network, not on the hub, no room, no permission, another content than expected.
        """
        todo = [file for file in self.files if self._row(file).state != "present"]
        meter = _Meter(sum(file.size or 0 for file in todo), progress or (lambda done, total: None))
        with explain_disk_errors(weights_folder()):
            _check_room(todo)
            for file in todo:
                _fetch(file, weights_folder() / file.path, meter)
        return self.verify()

    def _row(self, file: HubFile) -> WeightsRow:
        path = weights_folder() / file.path
        title = f"{self.title}: {file.name.replace('_', ' ')}"
        return WeightsRow(title, path.name, "MIT", file.size, file.sha256, file_state(path, file.sha256), path)


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
FOLDERS: Final = (  # below the one that the user names: of a copy of the repository, of a set in it, or all flat
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
    """Where fetched files are kept, laid out as in the repository."""
    return cache_folder() / "LivePortrait"


def find(folder: Path, name: str) -> Path:
    """The checkpoint `name` below `folder`, in the official layout or flat. WeightsError where there is none."""
    for inner in FOLDERS:
        for ending in ENDINGS:
            path = folder / inner / f"{name}{ending}"
            if path.is_file():
                return path
    raise WeightsError(
        f"There is no {name}.pth or {name}.safetensors in {folder}; run `python run.py weights fetch liveportrait`, "
        "or name with --weights a folder that has LivePortrait's files, as in its repository or all side by side."
    )


def is_complete(folder: Path) -> bool:
    """Whether every checkpoint that LivePortrait needs is there, whatever is in it."""
    try:
        return all(find(folder, file.name) for file in HUMAN.files)
    except WeightsError:
        return False


def unknown_checkpoints(digests: Mapping[str, str]) -> list[str]:
    """The names of the checkpoints, given with their sha256, that are not the official ones."""
    official = {file.name: file.sha256 for file in HUMAN.files}
    return [name for name, sha256 in digests.items() if official.get(name) != sha256]


def _check_room(files: list[HubFile]) -> None:
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum((file.size or 0) - _length(_part(folder / file.path)) for file in files)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WeightsError(
            f"LivePortrait's weights need {needed / 1e6:.0f} MB more, and {folder} has {free / 1e6:.0f} MB left; "
            "make room there, or name another folder in the environment variable PUPPET_CACHE."
        )


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Meter:
    """Progress over several files."""

    def __init__(self, total: int, tell: DownloadProgress) -> None:
        self.total, self._tell, self._done = total, tell, 0

    def add(self, count: int) -> None:
        self._done += count
        self._tell(self._done, max(self.total, self._done))


class _Broken(Exception):
    """The connection failed; what has come so far is kept."""


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Keeps the sha256 that the hub tells before it sends the client to where the bytes are."""

    sha256: str | None = None

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        self.sha256 = _named_sha256(headers) or self.sha256
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _named_sha256(headers: Message) -> str | None:
    """The ETag of a large file on the hub is its sha256."""
    tag = (headers.get("X-Linked-ETag") or headers.get("ETag") or "").strip('"')
    return tag if len(tag) == 64 else None


def _fetch(file: HubFile, path: Path, meter: _Meter) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    meter.add(_length(part))
    told = _download(file, part, meter)
    expected, found = file.sha256 or told, digest(part)
    if expected not in (None, found):
        part.unlink()
        raise WeightsError(
            f"{file.path} arrived with the sha256 {found}, expected {expected}; nothing of it was kept. Try again; "
            "where that does not help, something between here and the hub changes files, or it has a newer version."
        )
    part.replace(path)


def _download(file: HubFile, part: Path, meter: _Meter) -> str | None:
    """All of the file, in as many connections as it takes; the sha256 that the hub told, if it did."""
    attempts, before = 0, _length(part)
    while True:
        try:
            return _receive(file, part, meter)
        except _Broken as error:
            attempts = attempts + 1 if _length(part) <= before else 0
            before = _length(part)
            if attempts >= ATTEMPTS:
                raise WeightsError(_unreachable(file, str(error))) from error
            time.sleep(PAUSE * attempts)


def _receive(file: HubFile, part: Path, meter: _Meter) -> str | None:
    """One connection's worth, appended to what is there. _Broken where it ends too early."""
    start, redirect = _length(part), _Redirect()
    if file.size is not None and start == file.size:
        return None
    url = f"{os.environ.get('HF_ENDPOINT') or HUB}/{REPOSITORY}/resolve/{REVISION}/{file.path}"
    headers = {"User-Agent": "webcam-puppeteer"} | ({"Range": f"bytes={start}-"} if start else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.build_opener(redirect).open(request, timeout=SECONDS) as response:
            resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
            _store(response, part, start if resumed else 0, meter)
            return redirect.sha256 or _named_sha256(response.headers)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # there is more of it than of the file: it is of another one
        elif error.code < 500 and error.code not in (408, 429):
            raise WeightsError(_unreachable(file, f"the hub answers {error.code} {error.reason}")) from error
        raise _Broken(f"the hub answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _Broken(str(getattr(error, "reason", error))) from error


def _store(response: Any, part: Path, start: int, meter: _Meter) -> None:
    left = int(response.headers.get("Content-Length") or 0)
    meter.add(start - _length(part))  # negative where the hub begins again
    with part.open("r+b" if part.exists() else "wb") as stored:
        stored.seek(start)
        stored.truncate()
        while chunk := response.read(CHUNK):
            stored.write(chunk)
            meter.add(len(chunk))
            left -= len(chunk)
    if left > 0:
        raise _Broken("the connection ended too early")


def _unreachable(file: HubFile, reason: str) -> str:
    return (
        f"{file.path} could not be fetched from {REPOSITORY} ({reason}). Start again to go on where it ended; "
        f"or, where there is a network, download the files of that repository on Hugging Face and put them into "
        f"{weights_folder()}, under their paths there, or name their folder with --weights."
    )
