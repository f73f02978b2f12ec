"""What the repository's files may and must contain."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HERE = "|".join(["wo" + "rk/", "ho" + "me/", "ro" + "ot/", "tm" + "p/venv"])
MACHINE_PATH = re.compile(rf"(?<![\w./~-])/({HERE})")
REGISTRY = re.compile("|".join(["py" + r"pi\.org", "python" + "hosted", "deb" + r"\.debian", "registry" + r"\.npmjs"]))


def project_files() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_path_of_a_machine_and_no_registry_host():
    for path in project_files():
        text = path.read_bytes().decode("utf-8", "ignore")
        assert not MACHINE_PATH.search(text), f"{path}: a path of somebody's machine"
        assert not REGISTRY.search(text), f"{path}: the host of a registry"


def test_requirements_are_exact():
    for path in (ROOT / "requirements.txt", ROOT / "tests" / "requirements.txt"):
        for line in path.read_text().splitlines():
            assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[0-9.]+(; .+)?", line), f"{path}: {line}"


def test_every_asset_has_its_licence():
    notice = (ROOT / "NOTICE").read_text()
    for path in (ROOT / "pipeline" / "assets").iterdir():
        assert f"pipeline/assets/{path.name}" in notice
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
