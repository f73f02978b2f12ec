from __future__ import annotations

import re
import subprocess

from pipeline.bench import host


def test_a_missing_package_is_left_out(monkeypatch):
    monkeypatch.setattr(host, "PACKAGES", ("numpy", "no-such-package-as-this"))
    assert re.search(r", numpy \d[\d.]*$", host.machine()["software"])


def test_the_commit_is_that_of_the_repository(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "ROOT", tmp_path)
    assert "commit" not in host.machine()  # there is none
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"], ["tag", "-a", "v1", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    assert re.fullmatch(r"[0-9a-f]{12}", host.machine()["commit"])  # not the tag's name
    (tmp_path / "a").write_text("a")
    subprocess.run([*git, "add", "a"], check=True)
    assert host.machine()["commit"].endswith("-dirty")


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "commit" not in host.machine()


def test_memory_is_in_megabytes():
    peak = host.peak_memory()
    assert peak is None or 20 < peak < 100_000
