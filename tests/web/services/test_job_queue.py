import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support import waiting
from tests.support.waiting import PATIENCE, reached
from tests.support.web_app import client
from web.services import job_queue
from web.services.job_queue import Job, Jobs, JobsFull, UnknownJob


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """In place of the program's commands: a script whose words are Python."""
    (tmp_path / "run.py").write_text("import sys\nexec(sys.argv[1])\n")
    monkeypatch.setattr(job_queue, "ROOT", tmp_path)
    monkeypatch.setattr(job_queue, "COMMAND", (sys.executable, "run.py"))


def queued(queue: Jobs, code: str) -> Job:
    with queue.folder() as folder:
        job = Job("a job", folder, (code,), folder / "made.txt")
    queue.add(job)
    return job


async def until(job: Job, *states: str) -> None:
    await reached(lambda: job.state in states)


def play(scene: Callable[[Jobs], Awaitable[Any]]) -> Any:
    """Let `scene` happen with a queue of jobs, and close it."""

    async def run() -> Any:
        queue = Jobs()
        try:
            return await scene(queue)
        finally:
            await queue.close()

    return asyncio.run(run())


def test_one_after_the_other_with_progress(commands):
    bar = r"sys.stderr.write('\rAnimating:  25%|##  | 3/12 [00:01<00:03]'); sys.stderr.flush()"
    hold = "import os, time, pathlib\nwhile not os.path.exists(sys.argv[0] + '.go'): time.sleep(0.01)"

    async def scene(queue: Jobs) -> None:
        first = queued(queue, f"{bar}\n{hold}\nprint('made it')")
        second = queued(queue, "print('two')")
        await reached(lambda: first.total)
        assert (first.state, first.step, first.done, first.total) == ("running", "Animating", 3, 12)
        assert second.state == "waiting" and second.report()["url"] is None
        (job_queue.ROOT / "run.py.go").touch()
        await until(second, "done")
        assert (first.state, first.detail) == ("done", "made it\n")
        assert first.report()["url"] == f"/jobs/{first.id}/made.txt"
        await queue.close()
        assert not first.folder.exists() and not second.folder.exists()

    play(scene)


def test_a_failure_is_the_commands_last_sentence(commands):
    async def scene(queue: Jobs) -> None:
        job = queued(queue, r"sys.stderr.write('Loading 1/1 [\r\nNo face was found.\n'); sys.exit(1)")
        after = queued(queue, "print('still')")
        await until(after, "done")
        assert (job.state, job.detail) == ("failed", "No face was found.")

    play(scene)


def test_cancel_ends_the_process_and_removes_its_files(commands):
    async def scene(queue: Jobs) -> None:
        running, waiting = queued(queue, "import time; time.sleep(60)"), queued(queue, "print('never')")
        await reached(lambda: running.process)
        await queue.remove(waiting.id)
        await queue.remove(running.id)
        assert running.process.returncode is not None
        assert not running.folder.exists() and not waiting.folder.exists()
        with pytest.raises(UnknownJob):
            queue.get(running.id)
        last = queued(queue, "print('after')")
        await until(last, "done")
        assert waiting.process is None

    play(scene)


def test_the_end_leaves_no_process(commands):
    async def scene(queue: Jobs) -> Job:
        job = queued(queue, "import time; time.sleep(60)")
        await reached(lambda: job.process)
        await queue.close()
        return job

    job = play(scene)
    assert job.process is not None and job.process.returncode is not None and not job.folder.exists()


PATIENT = f"""
import os, time
end = time.monotonic() + {PATIENCE}
while os.getpriority(os.PRIO_PROCESS, 0) < {job_queue.NICENESS} and time.monotonic() < end:
    time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="priorities are told otherwise there")
def test_a_job_gives_way(commands):
    async def scene(queue: Jobs) -> str:
        job = queued(queue, PATIENT + "print(os.getpriority(os.PRIO_PROCESS, 0))")
        await until(job, "done")
        return job.detail

    assert int(play(scene)) >= job_queue.NICENESS


def test_full_and_forgetting(commands, monkeypatch):
    monkeypatch.setattr(job_queue, "MOST", 2)

    async def scene(queue: Jobs) -> None:
        first = queued(queue, "print(1)")
        await until(first, "done")
        hold = queued(queue, "import time; time.sleep(60)")
        queued(queue, "print(2)")  # the finished one makes room
        assert not first.folder.exists() and hold.folder.exists()
        with pytest.raises(JobsFull, match="2 jobs are waiting already"), queue.folder():
            pass

    play(scene)


def test_a_folder_goes_where_its_files_do_not_come():
    with pytest.raises(OSError), Jobs().folder() as folder:
        raise OSError("the client left")
    assert not folder.exists()


# The routes


@pytest.fixture
def web(commands):
    with client() as opened:
        yield opened


def done(web, id: str) -> dict:
    def report() -> dict | None:
        told = web.get(f"/jobs/{id}").json()
        return told if told["state"] not in ("waiting", "running") else None

    return waiting.until(report)


def test_animate_is_the_command_that_a_user_would_type(web):
    (job_queue.ROOT / "run.py").write_text("import sys, json; print(json.dumps(sys.argv[1:]))")
    options = json.dumps({"head": 0.5, "mirror": True, "background_colour": "#aabbcc"})
    query = {"portrait": "gray", "name": "../../me.MOV", "options": options}
    response = web.post("/jobs/animate", params=query, content=b"film")
    assert response.status_code == 201 and response.json()["name"] == "../../me.MOV"
    words = json.loads(done(web, response.json()["id"])["detail"])
    folder = words[words.index("--output") + 1].removesuffix("puppet.mp4")
    assert words == [
        *("animate", "--animator", "fake", "--size", "512", "--precision", "auto", "--backend", "compiled"),
        *("--source", f"{folder}portrait.png", "--driving", f"{folder}driving.mov", "--output", f"{folder}puppet.mp4"),
        *("--set", "head=0.5", "--set", "mirror=true", "--set", 'background_colour="#aabbcc"'),
    ]


def test_the_result_is_served_once_it_is_there(web):
    code = "import sys; words = sys.argv; print('ok'); open(words[words.index('--output') + 1], 'wb').write(b'made')"
    (job_queue.ROOT / "run.py").write_text(code)
    posted = web.post("/jobs/animate", params={"portrait": "gray", "name": "a.mp4"}, content=b"film").json()
    report = done(web, posted["id"])
    assert (report["state"], report["url"]) == ("done", f"/jobs/{posted['id']}/puppet.mp4")
    response = web.get(report["url"], headers={"range": "bytes=1-2"})
    assert (response.status_code, response.content, response.headers["content-type"]) == (206, b"ad", "video/mp4")
    assert web.get(f"/jobs/{posted['id']}/portrait.png").status_code == 404
    assert web.delete(f"/jobs/{posted['id']}").json() == {"state": "removed"}
    assert web.get(report["url"]).status_code == web.delete(f"/jobs/{posted['id']}").status_code == 404


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ({"portrait": "gray", "name": "a.txt"}, 415, "choose one like .mp4"),
        ({"portrait": "gray"}, 422, "'name': Field required."),
        ({"portrait": "nobody", "name": "a.mp4"}, 404, "no such portrait"),
        ({"portrait": "gray", "name": "a.mp4", "options": "{"}, 400, "Invalid JSON"),
        ({"portrait": "gray", "name": "a.mp4", "options": "[]"}, 400, "The JSON must be an object."),
        ({"portrait": "gray", "name": "a.mp4", "options": '{"head": 7}'}, 422, "head must be a number"),
    ],
)
def test_bad_input(web, query, status, sentence):
    response = web.post("/jobs/animate", params=query, content=b"film")
    assert response.status_code == status and sentence in response.json()["detail"]


def test_a_film_that_is_too_long(web, monkeypatch):
    monkeypatch.setattr("web.routes.jobs.MAX_UPLOAD", 10)
    response = web.post("/jobs/animate", params={"portrait": "gray", "name": "a.mp4"}, content=b"12345678901")
    assert response.status_code == 413 and "too long" in response.json()["detail"]


def test_compare_writes_a_page(web):
    (job_queue.ROOT / "run.py").write_text(
        "import sys; open(sys.argv[-1], 'w').write('<p>fast</p>'); assert '--quick' in sys.argv"
    )
    report = done(web, web.post("/jobs/compare").json()["id"])
    response = web.get(report["url"])
    assert (response.text, response.headers["content-type"]) == ("<p>fast</p>", "text/html; charset=utf-8")


def test_an_unknown_job(web):
    assert "no such job" in web.get("/jobs/x").json()["detail"]
