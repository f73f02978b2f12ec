"""What commands write: progress bars, log lines, JSON files."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol


class Show(Protocol):
    """Report progress: how much is done, of how much, and perhaps what is done now."""

    def __call__(self, done: int, total: int | None, what: str = "") -> None: ...


@contextmanager
def bar(title: str, unit: str) -> Iterator[Show]:
    """Show a progress bar on stderr from the first report of progress on."""
    from tqdm import tqdm

    shown: tqdm[NoReturn] | None = None

    def show(done: int, total: int | None, what: str = "") -> None:
        nonlocal shown
        shown = shown or tqdm(desc=title, unit=unit, unit_scale=unit == "B", total=total)
        shown.update(done - shown.n)
        if what:
            shown.set_postfix_str(what)
        if done == total:
            shown.close()

    try:
        yield show
    finally:
        if shown is not None:
            shown.close()


def log(verbose: bool) -> None:
    """Log to stderr; from other packages only warnings, because aioice would log the addresses of users."""
    logging.basicConfig(format="%(message)s")
    for layer in ("pipeline", "realtime", "web"):
        logging.getLogger(layer).setLevel(logging.DEBUG if verbose else logging.INFO)


def check_folder(flag: str, path: Path | None) -> None:
    """Raise FileNotFoundError if the file that `flag` names has no folder to lie in."""
    if path and not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"the folder for {flag} does not exist", str(path))


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write the file that --json names; None writes nothing."""
    if path:
        path.write_text(json.dumps(content, indent=2) + "\n")
