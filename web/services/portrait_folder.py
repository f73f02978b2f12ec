"""The folder in which uploaded portraits are kept. The user's name for one is only part of its file's name."""

import hashlib
import io
import re
from pathlib import Path

from PIL import Image

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
LONGEST_NAME = 40


class Shelf:
    """The folder of portraits. Creates it if needed; raises OSError if that fails."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def pictures(self) -> dict[str, Path]:
        """Return the files by their ids, sorted by name."""
        files = (path for path in self._folder.iterdir() if path.suffix.lower() in SUFFIXES)
        return {path.stem: path for path in sorted(files)}

    def find(self, data: bytes) -> str | None:
        """Return the id under which this file was stored before, or None."""
        return next((id for id in self.pictures() if id.endswith(_mark(data))), None)

    def store(self, name: str, data: bytes) -> tuple[str, Path]:
        """Store the bytes of a picture file; return its id and path. Raise OSError if that fails."""
        with Image.open(io.BytesIO(data)) as picture:
            suffix = str(picture.format).lower()
        words = re.sub(r"[^\w -]+", "", Path(name).stem).strip()[:LONGEST_NAME] or "portrait"
        id = words + _mark(data)
        path = self._folder / f"{id}.{suffix}"
        path.write_bytes(data)
        return id, path


def _mark(data: bytes) -> str:
    return "-" + hashlib.sha256(data).hexdigest()[:8]
