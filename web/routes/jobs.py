"""The routes of the File and Compare tabs: jobs on files, and what they made. Who knows a job's id may ask for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from pipeline.core.animator import Picture
from pipeline.core.options import AnimateOptions
from pipeline.files.animate import VIDEO_SUFFIXES
from web.core.settings import Settings
from web.services.engine import Engine
from web.services.job_queue import Job, Jobs, JobsFull, UnknownJob

MAX_UPLOAD = 1_000_000_000  # bytes of a driving video
MOTION_SUFFIXES = (".npz", ".pkl")

router = APIRouter()


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


@router.post("/jobs/animate", status_code=201)
async def animate(request: Request, portrait: str, name: str, options: str = "{}") -> dict[str, Any]:
    """The body is a driving video, or recorded motion, whose file's `name` tells which; `options` is a JSON object."""
    engine: Engine = request.app.state.engine
    suffix = Path(name).suffix.lower()
    if suffix not in (*VIDEO_SUFFIXES, *MOTION_SUFFIXES):
        raise HTTPException(415, f"{name} is no video that is known here; choose one like .mp4, .mov, .mkv or .webm.")
    changes = [word for change in _changes(engine, options) for word in ("--set", change)]
    prepared = await engine.portraits.get(portrait)
    with _jobs(request).folder() as folder:
        driving, source, output = folder / f"driving{suffix}", folder / "portrait.png", folder / "puppet.mp4"
        await _save(request, driving)
        _write(source, prepared.portrait.picture)
    how = "--motion" if suffix in MOTION_SUFFIXES else "--driving"
    files = ("--source", str(source), how, str(driving), "--output", str(output))
    job = Job(name, folder, ("animate", *_machine(request.app.state.settings, engine), *files, *changes), output)
    _jobs(request).add(job)
    return job.report()


@router.post("/jobs/compare", status_code=201)
async def compare(request: Request) -> dict[str, Any]:
    """`run.py compare --quick`, whose report is a page."""
    with _jobs(request).folder() as folder:
        output = folder / "report.html"
    weights = _weights(request.app.state.settings)
    job = Job("compare", folder, ("compare", "--quick", "--report", str(output), *weights), output)
    _jobs(request).add(job)
    return job.report()


@router.get("/jobs/{id}")
async def report(request: Request, id: str) -> dict[str, Any]:
    return _jobs(request).get(id).report()


@router.delete("/jobs/{id}")
async def remove(request: Request, id: str) -> dict[str, str]:
    """Cancelled where it was not done; its files are gone."""
    await _jobs(request).remove(id)
    return {"state": "removed"}


@router.get("/jobs/{id}/{file}")
async def result(request: Request, id: str, file: str) -> FileResponse:
    """What a finished job made; a player may ask for parts (RFC 9110, Range)."""
    job = _jobs(request).get(id)
    if job.state != "done" or file != job.output.name:
        raise HTTPException(404, "The job has made no such file.")
    return FileResponse(job.output)


def _changes(engine: Engine, options: str) -> Iterator[str]:
    """The options that have an effect, as `run.py animate --set` takes them. OptionError."""
    try:
        changes = json.loads(options)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "The options are not JSON.") from error
    if not isinstance(changes, dict):
        raise HTTPException(400, "The options must be a JSON object.")
    AnimateOptions().changed(changes)
    for name, value in changes.items():
        if name in engine.loaded.animator.supports:
            yield f"{name}={json.dumps(value)}"


def _machine(settings: Settings, engine: Engine) -> Iterator[str]:
    """The live sessions' animator, and how it runs."""
    yield from ("--animator", engine.loaded.animator.name, "--size", str(settings.size))
    yield from ("--precision", settings.precision, "--backend", settings.backend)
    yield from _weights(settings)


def _weights(settings: Settings) -> Iterator[str]:
    if settings.weights:
        yield from ("--weights", str(settings.weights))


async def _save(request: Request, path: Path) -> None:
    size = 0
    with path.open("wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_UPLOAD:
                raise HTTPException(413, f"The file is too long; at most {MAX_UPLOAD / 1e6:.0f} MB are taken here.")
            file.write(chunk)


def _write(path: Path, picture: Picture) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def add_refusals(app: FastAPI) -> None:
    """What the queue raises, as answers."""

    @app.exception_handler(JobsFull)
    async def full(request: Request, error: JobsFull) -> Response:
        return JSONResponse({"detail": str(error)}, 503, {"retry-after": "30"})

    @app.exception_handler(UnknownJob)
    async def unknown(request: Request, error: UnknownJob) -> Response:
        return JSONResponse({"detail": "There is no such job here any more; start it again."}, 404)
