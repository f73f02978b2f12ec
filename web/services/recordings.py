"""The folder of recordings, and how much may be in it."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from realtime.endpoints.recorder import NoRoom, disk_room
from web.core.settings import Settings

NAME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{16}\.(mp4|npz)")


@dataclass(frozen=True)
class Recordings:
    """The folder of recordings; `limit` is in bytes, of all together. None is deleted here."""

    folder: Path
    limit: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the folder that the settings name, or else one in the user's folder for videos."""
        return cls(settings.recordings or _users_folder(), settings.recordings_limit * 10**9)

    def new(self) -> Path:
        """Return a path for the next recording; its name holds a secret, because who knows it may download it.

        Raise NoRoom if the folder cannot be created.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NoRoom(
                f"The folder {self.folder} cannot be created ({error.strerror}); choose another with --recordings."
            ) from error
        return self.folder / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(8)}.mp4"

    def room(self) -> str | None:
        """Return why nothing more can be written to the folder, or None."""
        taken = sum(_size(path) for path in self.folder.iterdir() if NAME.fullmatch(path.name))
        if taken < self.limit:
            return disk_room(self.folder)
        return (
            f"All recordings together may take {self.limit / 1e9:g} GB; "
            f"delete some in {self.folder}, or start the server with a larger --recordings-limit."
        )

    def find(self, name: str) -> Path | None:
        """Return the recording of this name, or None."""
        path = self.folder / name
        return path if NAME.fullmatch(name) and path.is_file() else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # deleted meanwhile
        return 0


def _users_folder() -> Path:
    import platformdirs

    return platformdirs.user_videos_path() / "Webcam puppeteer"
