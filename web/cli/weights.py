"""`run.py weights`: list, fetch or verify the model files."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from pipeline.models import face_models
from pipeline.models.liveportrait_hub import ANIMALS, HUMAN
from pipeline.models.store import WeightsRow
from web.cli.arguments import MODEL_SETS
from web.cli.console import bar
from web.core.program import as_started

SETS: dict[str, Any] = {"face": face_models, HUMAN.name: HUMAN, ANIMALS.name: ANIMALS}


def run(parsed: argparse.Namespace) -> int:
    """Do what was asked, and print a row for each file."""
    rows = _rows(parsed.action, [parsed.models] if parsed.models else _usual(parsed.action))
    for row in rows:
        size = "unknown" if row.size is None else f"{row.size:,}"
        print(f"{row.state:8} {size:>11} bytes  {row.licence}  {row.name}")
        print(f"         sha256 {row.sha256 or 'known once it is fetched'}\n         {row.path}")
    if parsed.action == "fetch" and not parsed.models:
        print(as_started("LivePortrait's own weights (520 MB): `python run.py weights fetch liveportrait`."))
    if parsed.models == ANIMALS.name:
        print(f"To use them: --weights {rows[0].path.parents[1]}")
    return 0


def _usual(action: str) -> list[str]:
    here = ["face", *(name for name in MODEL_SETS[1:] if SETS[name].is_begun())]
    return {"list": list(MODEL_SETS), "fetch": ["face"], "verify": here}[action]


def _rows(action: str, names: list[str]) -> list[WeightsRow]:
    with bar("Fetching the model files", "B") as progress:
        actions: dict[str, Callable[[Any], list[WeightsRow]]] = {
            "list": lambda files: files.rows(),
            "fetch": lambda files: files.fetch(progress),
            "verify": lambda files: files.verify(),
        }
        return [row for name in names for row in actions[action](SETS[name])]
