"""Downloads from a local server that plays the hub, with the ways in which hubs and networks fail."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from pipeline.models import liveportrait_hub
from pipeline.models.liveportrait_hub import ANIMALS, HUMAN, HubFile, WeightSet
from pipeline.models.store import WeightsError

ROOT = Path(__file__).parents[3]
FIRST, SECOND = bytes(range(256)) * 400, b"second" * 1000


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def files():
    return WeightSet(
        "tiny",
        "Tiny",
        (
            HubFile("set/a/first.pth", digest(FIRST), len(FIRST)),
            HubFile("set/b/second.pth", digest(SECOND), len(SECOND)),
        ),
    )


class Hub(BaseHTTPRequestHandler):
    """Redirects clients to the bytes, as the real hub does; `server.plan` lists what goes wrong, in order."""

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        if self.path.startswith("/bytes/"):
            self._send(self.server.content[self.path.removeprefix("/bytes/")])
        else:
            self.server.asked.append((self.path, self.headers.get("Range")))
            self._answer()

    def _answer(self):
        server = self.server
        server.seen.append((self.path, dict(self.headers)))
        name = self.path.removeprefix("/KwaiVGI/LivePortrait/resolve/main/")
        if name not in server.content:
            self.send_error(404)
        elif server.plan and isinstance(server.plan[0], int):
            self.send_error(server.plan.pop(0))
        else:
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{server.server_address[1]}/bytes/{name}")  # another host
            self.send_header("X-Linked-ETag", f'"{server.tag or digest(server.content[name])}"')
            self.send_header("X-Linked-Size", str(len(server.content[name])))
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, data):
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        ranged = bool(start) and self.server.ranges
        part = data[start:] if ranged else data
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        cut = self.server.plan.pop(0) if self.server.plan else 1.0
        self.wfile.write(part[: int(cut * len(part))])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.content = {"set/a/first.pth": FIRST, "set/b/second.pth": SECOND}
    server.plan, server.asked, server.seen, server.ranges, server.tag = [], [], [], True, None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    use(monkeypatch, f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("PUPPET_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client's pauses between attempts
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use(monkeypatch, endpoint):
    """Send the client to another hub; it reads HF_ENDPOINT only when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{endpoint}/{{{template[2]}")


def contents():
    folder = liveportrait_hub.weights_folder()
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fill_client_cache(name, data):
    folder = Path(constants.HF_HUB_CACHE) / "models--KwaiVGI--LivePortrait"
    path = folder / "snapshots" / "1" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("1")


def test_fetches_both_files_with_progress(server, files):
    seen = []
    assert [row.state for row in files.rows()] == ["missing", "missing"] and not files.is_begun()
    rows = files.fetch(lambda done, total: seen.append((done, total)))
    assert [row.state for row in rows] == ["present", "present"] and files.is_begun()
    assert contents() == server.content
    total = len(FIRST) + len(SECOND)
    assert seen[-1] == (total, total) and [done for done, _ in seen] == sorted(done for done, _ in seen)
    files.fetch()
    assert len(server.asked) == 2  # nothing is fetched twice


def test_resumes_after_a_broken_connection(server, files):
    server.plan = [0.5, 0.5]
    files.fetch()
    assert contents() == server.content
    half = len(FIRST) // 2 // 1024 * 1024  # whole chunks are kept
    more = half + (len(FIRST) - half) // 2 // 1024 * 1024
    assert [asked for _, asked in server.asked] == [None, f"bytes={half}-", f"bytes={more}-", None]


def test_resumes_after_a_restart(server, files):
    part = liveportrait_hub.weights_folder() / "set/a/first.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(FIRST[:1000])
    files.fetch()
    assert contents() == server.content
    assert server.asked[0][1] == "bytes=1000-"


def test_starts_again_if_the_hub_cannot_resume(server, files):
    server.plan, server.ranges = [0.5], False
    seen = []
    files.fetch(lambda done, total: seen.append(done))
    assert contents() == server.content and seen[-1] == len(FIRST) + len(SECOND)


def test_a_part_of_something_longer_is_thrown_away(server, files):
    part = liveportrait_hub.weights_folder() / "set/a/first.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(FIRST * 2)
    files.fetch()
    assert contents() == server.content


def test_a_busy_hub_is_asked_again(server, files):
    server.plan = [503, 429]
    files.fetch()
    assert contents() == server.content


def test_another_content_is_refused_and_not_kept(server, files):
    server.content["set/b/second.pth"] = b"secret" * 1000
    with pytest.raises(WeightsError) as error:
        files.fetch()
    for words in ("set/b/second.pth", digest(b"secret" * 1000), digest(SECOND), "Try again"):
        assert words in str(error.value)
    assert contents() == {"set/a/first.pth": FIRST}


def test_a_file_without_a_known_hash_is_checked_against_the_hubs(server, files):
    animals = replace(files, files=(HubFile("set/a/first.pth"),))
    server.tag = digest(SECOND)
    with pytest.raises(WeightsError, match=f"arrived with the sha256 {digest(FIRST)}, expected {digest(SECOND)}"):
        animals.fetch()
    server.tag = None
    assert animals.fetch()[0].state == "present"


def test_a_copy_in_the_clients_own_cache_is_taken(server, files):
    fill_client_cache("set/a/first.pth", FIRST)
    seen = []
    files.fetch(lambda done, total: seen.append(done))
    assert contents() == server.content and seen[-1] == len(FIRST) + len(SECOND)
    assert [name.rpartition("/")[2] for name, _ in server.asked] == ["second.pth"]


def test_a_wrong_copy_in_the_clients_own_cache_is_not_taken(server, files):
    fill_client_cache("set/a/first.pth", SECOND)
    files.fetch()
    assert contents() == server.content


def test_offline_mode_asks_nobody(server, files, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"first\.pth could not .*HF_HUB_OFFLINE is set; unset it to download"):
        files.fetch()
    assert server.seen == []


def test_a_gated_repository(server, files):
    server.plan = [401]
    with pytest.raises(WeightsError, match=r"the hub answers 401 Unauthorized.*with a browser"):
        files.fetch()


def test_the_command_says_one_sentence_and_asks_for_nothing_else(server, tmp_path):
    server.content = {file.path: b"wrong" for file in HUMAN.files}
    environment = {**os.environ, "HF_ENDPOINT": constants.ENDPOINT, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "x"}
    command = [sys.executable, "run.py", "weights", "fetch", "liveportrait"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    [sentence] = [line for line in done.stderr.splitlines() if "arrived with the sha256" in line]
    assert done.returncode == 1 and sentence.startswith(HUMAN.files[0].path) and "Traceback" not in done.stderr
    assert {path for path, _ in server.seen} == {f"/KwaiVGI/LivePortrait/resolve/main/{HUMAN.files[0].path}"}
    assert not any(word in str(server.seen).lower() for word in ("authorization", "torch"))


def test_not_on_the_hub(server, files):
    del server.content["set/a/first.pth"]
    with pytest.raises(WeightsError, match=r"first\.pth could not be fetched .*the hub answers 404"):
        files.fetch()
    assert len(server.seen) == 1


def test_without_a_network_it_says_what_to_do(server, files, monkeypatch, tmp_path):
    use(monkeypatch, "http://127.0.0.1:1")
    with pytest.raises(WeightsError) as error:
        files.fetch()
    for words in ("set/a/first.pth", "KwaiVGI/LivePortrait", str(tmp_path), "--weights", "refused"):
        assert words in str(error.value)


def test_no_room(server, files, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(WeightsError, match=r"need 0 MB more, but .* has 0 MB left; make room there"):
        files.fetch()
    assert server.asked == []


def test_no_permission(server, files, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PUPPET_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"cannot be stored in .*PUPPET_CACHE"):
        files.fetch()


def test_damaged_files_are_reported_and_replaced(server, files):
    files.fetch()
    (liveportrait_hub.weights_folder() / "set/a/first.pth").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"first\.pth is damaged; run `python run\.py weights fetch tiny`"):
        files.verify()
    files.fetch()
    assert contents() == server.content


def test_the_manifests():
    assert all(len(file.sha256 or "") == 64 and file.size for file in HUMAN.files)
    assert [file.name for file in ANIMALS.files] == [file.name for file in HUMAN.files]
    assert sum(file.size or 0 for file in HUMAN.files) == 522_320_239


def test_official_files_are_recognised():
    official = {file.name: file.sha256 or "" for file in HUMAN.files}
    assert liveportrait_hub.unknown_checkpoints(official) == []
    assert liveportrait_hub.unknown_checkpoints(official | {"warping_module": "0" * 64}) == ["warping_module"]


@pytest.mark.parametrize("folder", ["", "liveportrait", "liveportrait_animals"])
def test_a_folder_is_complete(tmp_path, folder):
    assert not liveportrait_hub.is_complete(tmp_path)
    for file in (*HUMAN.files, *ANIMALS.files):
        path = tmp_path / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert liveportrait_hub.is_complete(tmp_path / folder)
    expected = "liveportrait_animals/base_models_v1.1" if "animals" in folder else "liveportrait/base_models"
    assert (
        liveportrait_hub.find(tmp_path / folder, "warping_module").resolve()
        == tmp_path / expected / "warping_module.pth"
    )
