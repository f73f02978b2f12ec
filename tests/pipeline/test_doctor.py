from __future__ import annotations

import socket
import sys
from types import SimpleNamespace

import av
import pytest

from pipeline import doctor
from pipeline.doctor import Finding
from pipeline.models.liveportrait_hub import HUMAN


def finding(findings, subject) -> Finding:
    (found,) = (f for f in findings if f.subject == subject)
    return found


@pytest.mark.parametrize(("version", "good"), [((3, 10, 9), False), ((3, 11, 0), True), ((3, 14, 1), True)])
def test_python(version, good):
    (found,) = doctor.python(version)
    assert found.state == ("ok" if good else "missing") and found.blocks is not good


def test_packages_against_their_pins():
    lines = ["# why", "pytest==0.0.1", "no-such-package==1.2", 'extra-one==1; extra == "onnx"']
    found = list(doctor.packages([*lines, f'elsewhere==1; sys_platform != "{sys.platform}"']))
    assert len(found) == 2
    assert finding(found, "pytest").state == "note" and "0.0.1 was tested" in finding(found, "pytest").detail
    missing = finding(found, "no-such-package")
    assert (missing.state, missing.blocks, missing.remedy) == ("missing", True, doctor.INSTALL)


def test_packages_that_are_as_pinned():
    assert [f.state for f in doctor.packages([f"pytest=={pytest.__version__}"])] == ["ok"]


def test_optional_packages_do_not_block(monkeypatch):
    monkeypatch.setattr(doctor, "OPTIONAL_PACKAGES", ("no-such-package",))
    assert not any(f.blocks for f in doctor.packages(["no-such-package==1"]))


def test_a_package_that_does_not_import_is_named(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("raise OSError('libGL.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(doctor.MODULES, "pytest", "broken")
    (found,) = doctor._package("pytest", pytest.__version__)
    assert found.state == "missing" and found.blocks and found.remedy == doctor.SYSTEM_LIBRARIES


def test_model_files(tmp_path, monkeypatch):
    monkeypatch.setenv("PUPPET_CACHE", str(tmp_path))
    found = list(doctor.model_files())
    assert {f.state for f in found} == {"missing"} and found[0].remedy == "python run.py weights fetch"
    assert not any(f.blocks for f in found)  # they are fetched on first use


def test_liveportraits_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("PUPPET_CACHE", str(tmp_path))
    found = finding(doctor.liveportrait(), "LivePortrait")
    assert found.state == "missing" and "weights fetch liveportrait" in found.remedy and not found.blocks
    for file in HUMAN.files:
        path = tmp_path / "LivePortrait" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert finding(doctor.liveportrait(), "LivePortrait").state == "ok"


def test_encoders():
    assert finding(doctor.encoders(), "H264 encoder").state == "ok"
    assert doctor._cannot_encode("no-such-codec")


def device(root, name, title, virtual):
    real = root / "devices" / ("virtual" if virtual else "pci0") / name
    real.mkdir(parents=True)
    (real / "name").write_text(title + "\n")
    (root / "class").mkdir(exist_ok=True)
    (root / "class" / name).symlink_to(real)


def test_cameras_on_linux(tmp_path):
    device(tmp_path, "video0", "Webcam", virtual=False)
    device(tmp_path, "video1", "Locked", virtual=False)
    device(tmp_path, "video2", "Loopback", virtual=True)
    (tmp_path / "video0").touch()
    found = list(doctor.cameras(tmp_path / "class", tmp_path, "linux"))
    assert [(f.state, f.detail) for f in found] == [
        ("ok", f"{tmp_path}/video0: Webcam"),
        ("missing", f"{tmp_path}/video1: Locked: no permission"),
    ]
    virtual = finding(doctor.virtual_camera(tmp_path / "class", "linux"), "Virtual camera")
    assert (virtual.state, virtual.detail) == ("ok", "/dev/video2: Loopback")


def test_no_cameras(tmp_path):
    (found,) = doctor.cameras(tmp_path, tmp_path, "linux")
    assert found.state == "missing" and "demo driver" in found.remedy and not found.blocks
    assert "v4l2loopback" in finding(doctor.virtual_camera(tmp_path, "linux"), "Virtual camera").remedy


@pytest.mark.parametrize(("platform", "lister"), [("darwin", "avfoundation"), ("win32", "dshow")])
def test_cameras_elsewhere(tmp_path, monkeypatch, platform, lister):
    devices = [("FaceTime", ["video"]), ("Microphone", ["audio"]), ("Webcam", ["video", "audio"])]
    listed = {lister: [SimpleNamespace(description=name, media_types=types) for name, types in devices]}
    monkeypatch.setattr(av, "enumerate_input_devices", listed.__getitem__)
    found = list(doctor.cameras(tmp_path, tmp_path, platform))
    assert [(f.state, f.detail) for f in found] == [("ok", "0: FaceTime"), ("ok", "1: Webcam")]
    assert "OBS" in finding(doctor.virtual_camera(tmp_path, platform), "Virtual camera").remedy


def test_network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = list(doctor.network("127.0.0.1", port))
    assert finding(found, "Media").state == "ok"
    assert finding(found, "Port").state == "note" and "--port" in finding(found, "Port").remedy
    assert finding(doctor.network("127.0.0.1", 0), "Port").state == "ok"


def test_a_check_that_fails_does_not_end_the_report(monkeypatch):
    def broken():
        raise ImportError("libcuda is from another age")
        yield

    monkeypatch.setattr(doctor, "cuda_device", broken)
    found = list(doctor.examine("127.0.0.1", 0))
    assert "libcuda is from another age" in finding(found, "CUDA device").detail
    assert found[-1].subject == "Port"
