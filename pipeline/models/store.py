"""The cache folder of the model files: where it is, what state its files are in, and how files reach it whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DownloadProgress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) while a download runs."""

FileState = Literal["present", "missing", "damaged"]


class WeightsError(RuntimeError):
    """A model file is missing, wrong, or cannot be fetched; the message says what to do."""


@dataclass(frozen=True)
class WeightsRow:
    """One line of `run.py weights list`."""

    name: str
    file: str
    licence: str
    size: int | None  # bytes; None while only the hub knows it, as with the hash
    sha256: str | None
    state: FileState
    path: Path


def cache_folder() -> Path:
    """Return the folder of the model files: $PUPPET_CACHE, or one in the user's cache folder."""
    if chosen := os.environ.get("PUPPET_CACHE"):
        return Path(chosen)
    import platformdirs  # here, because a machine that sets PUPPET_CACHE can do without it

    return platformdirs.user_cache_path("webcam-puppeteer", appauthor=False)


def digest(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal. Raise WeightsError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read ({error.strerror or error}); make it readable, or delete it."
        ) from error


def file_state(path: Path, sha256: str | None) -> FileState:
    """Return whether a file is there with the expected content; without a known hash any content will do."""
    if not path.is_file():
        return "missing"
    return "present" if sha256 in (None, digest(path)) else "damaged"


@contextlib.contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Make a folder inside `folder`, from which finished files can be moved there in one step."""
    with explain_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder, ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield where to write a file that appears at `path`, whole, when the block has ended without an error."""
    with temporary_folder(path.parent) as temporary:
        yield temporary / path.name
        (temporary / path.name).replace(path)


@contextlib.contextmanager
def explain_disk_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError while files are stored in `folder` into a WeightsError that names the remedy."""
    try:
        yield
    except OSError as error:
        raise WeightsError(
            f"The model files cannot be stored in {folder} ({error.strerror or error}); make room there, "
            "or name another folder in the environment variable PUPPET_CACHE."
        ) from error
