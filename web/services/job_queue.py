"""Jobs on files: one child process after the other, each a command of this program, with low priority.

What a job reads and writes lies in a folder of its own, which is deleted with the job.
"""

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from web.core.program import ROOT

COMMAND = (sys.executable, "-m", "web.cli")
MOST = 16  # jobs, of all users
NICENESS = 5
PATIENCE_SECONDS = 3.0  # between asking a child to end and ending it
PROGRESS = re.compile(rb"([A-Z][\w ]+):[^\r]*?(\d+)/(\d+) \[")  # as the progress bars of commands write it

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class JobsFull(RuntimeError):
    """No further job fits."""


class UnknownJob(KeyError):
    """There is no such job, or no longer."""

    def __str__(self) -> str:
        return "There is no such job here any more; start it again."


@dataclass(eq=False)
class Job:
    """One command. `output` is the file that it writes, in `folder`."""

    name: str
    folder: Path
    words: Sequence[str]
    output: Path
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "waiting"
    step: str = ""  # what is done now, and how much of it
    done: int = 0
    total: int = 0
    detail: str = ""  # what it made, or what was wrong
    process: asyncio.subprocess.Process | None = None

    def report(self) -> dict[str, Any]:
        """Return the state, the progress and the URL of the result, fit for JSON."""
        values = {name: getattr(self, name) for name in ("id", "name", "state", "step", "done", "total", "detail")}
        return values | {"url": f"/jobs/{self.id}/{self.output.name}" if self.state == "done" else None}


class Jobs:
    """The queue. Used on one event loop."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._queue: asyncio.Queue[Job] = asyncio.Queue()
        self._runner: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """Create the folder of one job; delete it if the job fails to be made. Raise JobsFull if no job fits."""
        finished = [job for job in self._jobs.values() if job.state not in ("waiting", "running")]
        if len(self._jobs) - len(finished) >= MOST:
            raise JobsFull(f"{MOST} jobs are waiting already; try again when one is done.")
        if len(self._jobs) >= MOST:
            self._forget(finished[0])
        folder = Path(tempfile.mkdtemp(prefix="puppet-job-"))
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def add(self, job: Job) -> dict[str, Any]:
        """Run it when those before it are done; return its report."""
        self._jobs[job.id] = job
        self._queue.put_nowait(job)
        self._runner = self._runner or asyncio.create_task(self._run())
        return job.report()

    def get(self, id: str) -> Job:
        """Return a job. Raise UnknownJob if there is none of this id."""
        try:
            return self._jobs[id]
        except KeyError:
            raise UnknownJob(id) from None

    async def remove(self, id: str) -> None:
        """Cancel a job if it is not done, and delete its files. Raise UnknownJob if there is none of this id."""
        job = self.get(id)
        job.state = "cancelled"
        await _end(job.process)
        self._forget(job)

    async def close(self) -> None:
        """End the running job, and delete all files."""
        if self._runner:
            self._runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._runner
        for job in list(self._jobs.values()):
            self._forget(job)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.id]
        shutil.rmtree(job.folder, ignore_errors=True)

    async def _run(self) -> None:
        while True:
            job = await self._queue.get()
            if job.state == "waiting":
                try:
                    await _perform(job)
                except OSError as error:
                    job.state, job.detail = "failed", f"The command could not be started ({error.strerror})."


async def _perform(job: Job) -> None:
    job.state = "running"
    pipe = asyncio.subprocess.PIPE
    process = job.process = await asyncio.create_subprocess_exec(
        *(*COMMAND, *job.words), cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    _give_way(process.pid)
    try:
        assert process.stdout and process.stderr
        said, complaint = await asyncio.gather(process.stdout.read(), _follow(job, process.stderr))
        failed = await process.wait() != 0
    finally:
        await _end(process)
    if job.state == "running":
        job.state = "failed" if failed else "done"
        job.detail = _last_line(complaint) if failed else said.decode(errors="replace").replace(f"{job.output}: ", "")


async def _follow(job: Job, stream: asyncio.StreamReader) -> bytes:
    """Read the progress bars of a command into its job; return the end of its output."""
    said = b""
    while chunk := await stream.read(4096):
        said = (said + chunk)[-4096:]
        if steps := PROGRESS.findall(said):
            step, done, total = steps[-1]
            job.step, job.done, job.total = step.decode(), int(done), int(total)
    return said


def _last_line(said: bytes) -> str:
    lines = re.split(r"[\r\n]+", said.decode(errors="replace").strip())
    return lines[-1].strip()


def _give_way(process: int) -> None:
    if hasattr(os, "setpriority"):  # not on Windows
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, process, NICENESS)


async def _end(process: asyncio.subprocess.Process | None) -> None:
    if process is None or process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
