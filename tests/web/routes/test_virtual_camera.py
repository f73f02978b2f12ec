"""A session's pictures at the server's virtual camera, switched on and off over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import pyvirtualcam
from starlette.testclient import TestClient

from pipeline.imaging.i420 import to_picture
from realtime.endpoints.framing import Framing
from realtime.webrtc.broadcast import Broadcast
from tests.support.fakes import offer_of
from tests.support.virtual_cameras import CameraRecording, installed
from tests.support.web_app import client

SDP = {"content-type": "application/sdp"}


@pytest.fixture
def recording(monkeypatch) -> CameraRecording:
    return installed(monkeypatch)


@pytest.fixture(scope="module")
def web() -> Iterator[TestClient]:
    with client(max_sessions=2) as opened:
        yield opened


@pytest.fixture(scope="module")
def offer() -> str:
    return asyncio.run(offer_of())


@pytest.fixture
def sessions(web, offer, monkeypatch) -> Iterator[list[str]]:
    """The paths of two open sessions, which make pictures though nobody connects."""
    monkeypatch.setattr(Broadcast, "congested", False)
    paths = [web.post("/session", content=offer, headers=SDP).headers["location"] for _ in range(2)]
    yield paths
    for path in paths:
        web.delete(path)


def test_on_and_off(web, sessions, recording):
    path = f"{sessions[0]}/virtual-camera"
    assert web.get(f"{sessions[0]}/stats").json()["virtual_camera"] is None
    assert web.put(path).json() == {"device": "recording"}
    assert web.put(path).json() == {"device": "recording"}  # it stays on
    assert web.get(f"{sessions[0]}/stats").json()["virtual_camera"] == "recording"
    recording.wait(lambda sent: len(sent) > 3)
    assert recording.opened["size"] == (Framing.width, Framing.height)
    sent = to_picture(recording.pictures[-1].reshape(-1, Framing.width))
    assert sent[360, 640].tolist() == pytest.approx([90, 90, 90], abs=3)  # the portrait, before anybody drives
    assert web.delete(path).json() == {"device": None}
    assert recording.closed == 1
    assert web.delete(path).json() == {"device": None}
    assert web.get(f"{sessions[0]}/stats").json()["virtual_camera"] is None


def test_one_session_at_a_time(web, sessions, recording):
    first, second = (f"{path}/virtual-camera" for path in sessions)
    assert web.put(first).status_code == 200
    refused = web.put(second)
    assert refused.status_code == 409 and "in use by another session since" in refused.json()["detail"]
    assert not any(path.rpartition("/")[2] in refused.text for path in sessions)  # an id is a key
    assert web.delete(second).json() == {"device": None}
    assert web.get(f"{sessions[0]}/stats").json()["virtual_camera"] == "recording"
    web.delete(first)
    assert web.put(second).json() == {"device": "recording"}


def test_it_ends_with_its_session(web, sessions, recording):
    web.put(f"{sessions[0]}/virtual-camera")
    web.delete(sessions[0])
    assert recording.closed == 1
    assert web.put(f"{sessions[1]}/virtual-camera").status_code == 200


def test_a_device_that_vanished_can_be_switched_on_again(web, sessions, recording):
    path = f"{sessions[0]}/virtual-camera"
    web.put(path)
    recording.unplugged = True
    while web.get(f"{sessions[0]}/stats").json()["virtual_camera"]:
        pass
    recording.unplugged = False
    assert web.put(path).json() == {"device": "recording"}


def test_without_a_driver_the_remedy_is_told(web, sessions, monkeypatch):
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {})

    def missing(**_: object) -> None:
        raise RuntimeError("No v4l2 loopback device found at /dev/video[0-99]. Did you run 'modprobe v4l2loopback'?")

    pyvirtualcam.register_backend("missing", missing)
    refused = web.put(f"{sessions[0]}/virtual-camera")
    assert refused.status_code == 503
    assert refused.json()["detail"].startswith("There is no virtual camera (No v4l2 loopback device found at")
    assert web.get(f"{sessions[0]}/stats").json()["virtual_camera"] is None


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_unknown_session(web, method, recording):
    refused = web.request(method, "/session/none/virtual-camera")
    assert refused.status_code == 404 and refused.json()["detail"].startswith("There is no such session")
    assert recording.opened == {}
