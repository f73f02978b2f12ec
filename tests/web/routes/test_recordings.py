"""Recording over HTTP: a real session on loopback, begun, recorded, ended, downloaded."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from realtime.endpoints import recorder as recorder_module
from tests.support.fakes import FakePeer
from tests.support.films import read
from tests.support.web_app import client, make_engine
from tests.support.web_session import connected, recorded
from web.services.recordings import NAME, Recordings

Scene = Callable[[httpx.AsyncClient, str, FakePeer], Awaitable[Any]]


def play(scene: Scene, folder: Path) -> Any:
    async def run() -> Any:
        async with connected(make_engine(), recordings=folder) as (web, session, peer):
            return await scene(web, session, peer)

    return asyncio.run(run())


def test_a_recording_from_begin_to_download(tmp_path):
    async def scene(web: httpx.AsyncClient, session: str, peer: FakePeer) -> None:
        assert (await web.get(f"{session}/stats")).json()["recording"] is None
        begun = await web.put(f"{session}/recording", json={"side_by_side": False})
        name = begun.json()["name"]
        assert begun.status_code == 201 and NAME.fullmatch(name) and begun.json() == {"name": name}
        report = await recorded(web, session)
        assert report["name"] == name and report["problem"] is None
        again = await web.put(f"{session}/recording", json={})
        assert again.status_code == 409 and "being recorded already" in again.json()["detail"]
        early = await web.get(f"/recordings/{name}")
        assert early.status_code == 409 and "has not ended" in early.json()["detail"]
        ended = (await web.delete(f"{session}/recording")).json()
        assert (ended["name"], ended["url"], ended["motion"]) == (name, f"/recordings/{name}", None)
        assert ended["seconds"] >= report["seconds"] and ended["bytes"] == (tmp_path / name).stat().st_size
        assert (await web.get(f"{session}/stats")).json()["recording"] is None
        file = await web.get(ended["url"])
        assert file.content == (tmp_path / name).read_bytes()
        assert file.headers["content-type"] == "video/mp4"
        assert file.headers["content-disposition"] == f'attachment; filename="{name}"'
        part = await web.get(ended["url"], headers={"range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"ftyp")
        film = read(tmp_path / name)
        assert len(film.pictures) == round(ended["seconds"] * 30)
        assert film.pictures[0].shape == (128, 128, 3)

    play(scene, tmp_path)


def test_two_in_a_row_side_by_side(tmp_path):
    async def scene(web: httpx.AsyncClient, session: str, peer: FakePeer) -> list[str]:
        names = []
        for _ in range(2):
            names.append((await web.put(f"{session}/recording", json={"side_by_side": True})).json()["name"])
            await recorded(web, session, 0.2)
            assert (await web.delete(f"{session}/recording")).status_code == 200
        return names

    names = play(scene, tmp_path)
    assert len(set(names)) == 2
    assert all(read(tmp_path / name).pictures[0].shape == (128, 256, 3) for name in names)


def test_a_sessions_end_leaves_a_finished_file(tmp_path):
    async def scene(web: httpx.AsyncClient, session: str, peer: FakePeer) -> None:
        name = (await web.put(f"{session}/recording", json={})).json()["name"]
        await recorded(web, session)
        await web.delete(session)
        assert (await web.get(f"/recordings/{name}")).content == (tmp_path / name).read_bytes()
        assert (await web.delete(f"{session}/recording")).status_code == 404

    play(scene, tmp_path)
    [path] = tmp_path.iterdir()
    assert len(read(path).pictures) >= 15


REFUSED = [
    (b"", 400, "Invalid JSON"),
    (b"[]", 400, "must be an object"),
    (b'{"side_by_side": 1}', 422, "'side_by_side' must be a valid boolean."),
    (b'{"path": true}', 422, "'path': Extra inputs are not permitted."),
    (b'{"motion": true}', 409, "needs --animator liveportrait; this is fake"),
]


def test_refusals(tmp_path):
    async def scene(web: httpx.AsyncClient, session: str, peer: FakePeer) -> None:
        for body, status, words in REFUSED:
            refused = await web.put(f"{session}/recording", content=body, headers={"content-type": "application/json"})
            assert refused.status_code == status and words in refused.json()["detail"]
        assert (await web.get(f"{session}/stats")).json()["recording"] is None
        none = await web.delete(f"{session}/recording")
        assert none.status_code == 404 and none.json() == {"detail": "This session is not being recorded."}
        assert (await web.put("/session/none/recording", json={})).status_code == 404

    play(scene, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_room(tmp_path, monkeypatch):
    old = tmp_path / "2026-11-23_10-00-00_0123456789abcdef.mp4"
    (tmp_path / "mine.mp4").write_bytes(bytes(3000))

    async def scene(web: httpx.AsyncClient, session: str, peer: FakePeer) -> None:
        web._transport.app.state.recordings = Recordings(tmp_path, 2000)  # type: ignore[attr-defined]
        old.write_bytes(bytes(2000))
        full = await web.put(f"{session}/recording", json={})
        assert full.status_code == 507 and "delete some" in full.json()["detail"]
        old.write_bytes(bytes(1000))
        await web.put(f"{session}/recording", json={})
        while (report := (await web.get(f"{session}/stats")).json()["recording"])["problem"] is None:
            await asyncio.sleep(0.05)
        assert report["problem"].startswith("The recording ended: all recordings together may take")
        ended = (await web.delete(f"{session}/recording")).json()
        assert ended["problem"] == report["problem"] and read(tmp_path / ended["name"]).pictures
        monkeypatch.setattr(recorder_module, "KEEP_FREE", 10**18)
        web._transport.app.state.recordings = Recordings(tmp_path, 10**9)  # type: ignore[attr-defined]
        assert "of the disk are free" in (await web.put(f"{session}/recording", json={})).json()["detail"]

    play(scene, tmp_path)
    assert old.exists() and (tmp_path / "mine.mp4").exists()  # nothing is deleted by itself


def test_a_folder_that_cannot_be_made(tmp_path):
    async def scene(web: httpx.AsyncClient, session: str, peer: FakePeer) -> httpx.Response:
        return await web.put(f"{session}/recording", json={})

    (tmp_path / "file").touch()
    refused = play(scene, tmp_path / "file" / "folder")
    assert refused.status_code == 507 and "choose another with --recordings" in refused.json()["detail"]


NOT_THERE = [
    "2026-11-23_10-00-00_0123456789abcdef.mp4",
    "mine.mp4",  # is there, and no recording
    "..%2Fsecret.mp4",
    "%2E%2E%2Fsecret.mp4",
    "2026-11-23_10-00-00_0123456789abcdef.mp4%00",
]


def test_only_recordings_can_be_had(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mine.mp4").write_bytes(b"mine")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    with client(recordings=folder) as web:
        answers = [web.get(f"/recordings/{name}") for name in NOT_THERE]
    assert [answer.status_code for answer in answers] == [404] * len(NOT_THERE)
    assert not any(word in answer.content for answer in answers for word in (b"secret", b"mine"))


def test_names_have_the_date_and_a_secret(tmp_path):
    paths = {Recordings(tmp_path, 10**9).new() for _ in range(50)}
    assert len(paths) == 50
    assert all(re.match(r"\d{4}-\d\d-\d\d_", path.name) and NAME.fullmatch(path.name) for path in paths)
