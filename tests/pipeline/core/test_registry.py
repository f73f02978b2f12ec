"""A third animator, by one line of the registry or by the entry point of an installed package."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

import run
from pipeline.core import registry
from pipeline.core.registry import GROUP, AnimatorError, animator_names, find_animator, require
from pipeline.files.video import VideoReader
from pipeline.imaging.source_picture import BUILTIN
from pipeline.meshwarp.animator import MeshWarp
from tests.support import toy_animator
from tests.support.clips import write_clip

TOY = "tests.support.toy_animator:load"


@pytest.fixture
def line(monkeypatch):
    """Add the toy's line to the registry."""
    monkeypatch.setattr(registry, "BUILT_IN", (*registry.BUILT_IN, EntryPoint("toy", TOY, GROUP)))


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a package with these entry points."""

    def installed(*lines):
        about = tmp_path / "site" / "toy_puppet-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-puppet\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text("\n".join((f"[{GROUP}]", *lines, "")))
        monkeypatch.syspath_prepend(about.parent)

    return installed


def animated(tmp_path, astronaut):
    driving, output = write_clip(tmp_path / "driving.mp4", [astronaut] * 3), tmp_path / "puppet.mp4"
    files = ("--source", str(BUILTIN["astronaut"]), "--driving", str(driving), "--output", str(output))
    assert run.main(["animate", "--animator", "toy", *files]) == 0
    with VideoReader(output) as video:
        return [frame.picture.shape for frame in video]


def test_a_line_in_the_registry_is_enough(line, astronaut, tmp_path, capsys):
    assert animated(tmp_path, astronaut) == [(256, 256, 3)] * 3
    assert "Animator: toy on cpu (you asked for it; made of 30 lines)." in capsys.readouterr().err


def test_an_installed_package_is_enough(install, astronaut, tmp_path, capsys):
    install(f"toy = {TOY}")
    assert animated(tmp_path, astronaut) == [(256, 256, 3)] * 3
    with pytest.raises(SystemExit):
        run.main(["animate", "--help"])
    assert "{auto,liveportrait,meshwarp,toy}" in capsys.readouterr().out


def test_a_package_cannot_take_a_built_in_name(install):
    install(f"meshwarp = {TOY}")
    assert animator_names() == ("auto", "liveportrait", "meshwarp")
    assert find_animator("meshwarp") is not toy_animator.load


def test_a_broken_package_is_named(install):
    install("toy = no_such_module:load")
    with pytest.raises(AnimatorError, match=r"'toy' .*\(No module named 'no_such_module'\); .* uninstall it"):
        find_animator("toy")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AnimatorError, match="no animator 'cartoon'; choose one of auto, liveportrait, meshwarp"):
        find_animator("cartoon")


def test_a_capability_that_is_missing_is_an_error_with_the_remedy(models):
    mesh = MeshWarp(models)
    with pytest.raises(AnimatorError, match="--motion needs --animator liveportrait; this is meshwarp"):
        require(mesh, "motion_files", "--motion")
    require(SimpleNamespace(capabilities={"motion_files"}), "motion_files", "--motion")
