"""The wheel: what is in it, and what it says of itself. Built from a copy, without network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from web import __version__

pytest.importorskip("setuptools")
ROOT = Path(__file__).parent.parent
PACKAGES = ("pipeline", "realtime", "web")
BUILD = "import setuptools.build_meta, sys; setuptools.build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "requirements.txt", "run.py"):
        shutil.copy(ROOT / name, source)
    for name in (*PACKAGES, "tests/support"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-c", BUILD, built], cwd=source, check=True, capture_output=True)
    (path,) = built.iterdir()
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_every_file_of_the_packages_is_in_it_and_nothing_else(wheel):
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = {path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()}
    assert inside == {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}


def test_what_it_says_of_itself(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    about = message_from_bytes(wheel.read(name))
    assert (about["Name"], about["Version"]) == ("portrait-puppet", __version__)
    needed = [line.replace(" ", "") for line in about.get_all("Requires-Dist") if "extra ==" not in line]
    pinned = (ROOT / "requirements.txt").read_text().splitlines()
    assert needed == [line.replace(" ", "") for line in pinned if not line.startswith("#")]
    (scripts,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "portrait-puppet = web.cli.main:main" in wheel.read(scripts).decode()
