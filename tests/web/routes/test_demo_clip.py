import asyncio
from pathlib import Path

import pytest

from tests.support.web_app import client
from web.services import demo_clip
from web.services.demo_clip import DemoClip


def test_a_clip_that_is_there_is_sent_in_parts(tmp_path: Path):
    with client() as web:
        web.app.state.demo_clip = clip = DemoClip(tmp_path)
        clip._path.write_bytes(b"0123456789")
        assert web.get("/demo.mp4").content == b"0123456789"
        part = web.get("/demo.mp4", headers={"range": "bytes=2-4"})
        assert (part.status_code, part.content, part.headers["content-type"]) == (206, b"234", "video/mp4")


def test_it_is_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).open('x').write('clip')"
    monkeypatch.setattr(demo_clip, "RENDER", code)

    async def use() -> None:
        clip = DemoClip(tmp_path)
        first, second = await asyncio.gather(clip.path(), clip.path())
        assert first == second and first.read_text() == "clip"
        assert list(tmp_path.iterdir()) == [first]

    asyncio.run(use())


def test_a_failure_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo_clip, "RENDER", "raise SystemExit('no room')")
    with client() as web:
        web.app.state.demo_clip = DemoClip(tmp_path)
        refused = web.get("/demo.mp4")
    assert refused.status_code == 503 and "no room" in refused.json()["detail"]
    assert list(tmp_path.iterdir()) == []
