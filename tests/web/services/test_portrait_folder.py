import asyncio
import hashlib

import pytest

from pipeline.imaging.source_picture import NotAPicture
from tests.support.web_app import PickyAnimator, client, picture_file
from web.services.portraits import Portraits, Shelf

GRAY = {"gray": picture_file(90)}


def mark(data: bytes) -> str:
    return "-" + hashlib.sha256(data).hexdigest()[:8]


def test_uploads_are_remembered_for_the_next_start(tmp_path):
    data = picture_file(120, ".jpg")

    async def use() -> str:
        first = Portraits(PickyAnimator(), GRAY, Shelf(tmp_path / "mine"))
        prepared = await first.add(data, "Aunt Ada.png")
        assert (await first.add(data, "again")).id == prepared.id  # not twice
        assert first.names == ("gray", prepared.id)
        again = Portraits(PickyAnimator(), GRAY, Shelf(tmp_path / "mine"))
        assert again.names == ("gray", prepared.id)
        assert (await again.get(prepared.id)).rest == prepared.rest
        assert (await again.add(data)).id == prepared.id
        return prepared.id

    id = asyncio.run(use())
    assert id == "Aunt Ada" + mark(data)
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "mine").iterdir()] == [(f"{id}.jpeg", data)]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("../../etc/passwd", "passwd"),
        ("..", "portrait"),
        ("", "portrait"),
        ("a\0b/c:d*.png", "cd"),
        ("x" * 99, "x" * 40),
    ],
)
def test_a_name_cannot_leave_the_folder(tmp_path, name, stem):
    data = picture_file(7)
    id, path = Shelf(tmp_path).store(name, data)
    assert (id, path.parent) == (stem + mark(data), tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_animated_is_not_kept(tmp_path):
    async def use() -> None:
        with pytest.raises(NotAPicture):
            await Portraits(PickyAnimator(), GRAY, Shelf(tmp_path)).add(b"words", "words.png")

    asyncio.run(use())
    assert list(tmp_path.iterdir()) == []


def test_own_pictures_in_the_folder_are_shown_by_name(tmp_path):
    (tmp_path / "zoe.png").write_bytes(picture_file(10))
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "ben.JPG").write_bytes(picture_file(20, ".jpg"))
    assert list(Shelf(tmp_path).pictures()) == ["ben", "zoe"]


def test_the_idle_loop_of_a_portrait():
    with client() as web:
        response = web.get("/portraits/gray/idle.mp4")
        assert (response.status_code, response.headers["content-type"]) == (200, "video/mp4")
        assert response.content[4:8] == b"ftyp"
        assert web.get("/portraits/gray/idle.mp4").content == response.content
        assert web.get("/portraits/nobody/idle.mp4").status_code == 404


def test_a_slow_animator_has_no_idle_loop(monkeypatch):
    monkeypatch.setattr("pipeline.files.idle_clip.SLOWEST", 0.0)
    with client() as web:
        response = web.get("/portraits/gray/idle.mp4")
        assert response.status_code == 404 and "too slow" in response.json()["detail"]
