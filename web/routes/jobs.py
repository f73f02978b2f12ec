"""The routes of the File and Compare tabs: jobs on files, and what they made. Who knows a job's id may read it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse

from pipeline.core.options import AnimateOptions
from pipeline.files.animate import VIDEO_SUFFIXES
from web.core.requests import parse_json, read_chunks
from web.core.settings import Settings
from web.routes.dependencies import EngineDep, JobsDep, SettingsDep
from web.routes.sessions import OptionChanges
from web.services.engine import Engine
from web.services.job_queue import Job

MAX_UPLOAD = 1_000_000_000  # bytes of a driving video
MOTION_SUFFIXES = (".npz", ".pkl")

router = APIRouter()


@router.post("/jobs/animate", status_code=201)
async def animate(
    request: Request,
    settings: SettingsDep,
    engine: EngineDep,
    jobs: JobsDep,
    portrait: str,
    name: str,
    options: str = "{}",
) -> dict[str, Any]:
    """Animate a portrait with the driving video or recorded motion in the body; answer with the job's report.

    `name`: the file's name, whose suffix says which of both it is. `options`: a JSON object.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in (*VIDEO_SUFFIXES, *MOTION_SUFFIXES):
        raise HTTPException(415, f"{name} is not a known video format; choose one like .mp4, .mov, .mkv or .webm.")
    changes = [word for change in _changes(engine, options) for word in ("--set", change)]
    prepared = await engine.portraits.get(portrait)
    with jobs.folder() as folder:
        driving, source, output = folder / f"driving{suffix}", folder / "portrait.png", folder / "puppet.mp4"
        with driving.open("wb") as file:
            async for chunk in read_chunks(request, MAX_UPLOAD):
                file.write(chunk)
        cv2.imwrite(str(source), cv2.cvtColor(prepared.portrait.picture, cv2.COLOR_RGB2BGR))
    how = "--motion" if suffix in MOTION_SUFFIXES else "--driving"
    files = ("--source", str(source), how, str(driving), "--output", str(output))
    return jobs.add(Job(name, folder, ("animate", *_machine(settings, engine), *files, *changes), output))


@router.post("/jobs/compare", status_code=201)
async def compare(settings: SettingsDep, jobs: JobsDep) -> dict[str, Any]:
    """Run `compare --quick`, whose report is a page; answer with the job's report."""
    with jobs.folder() as folder:
        output = folder / "report.html"
    words = ("compare", "--quick", "--report", str(output), *_weights(settings))
    return jobs.add(Job("compare", folder, words, output))


@router.get("/jobs/{id}")
async def report(jobs: JobsDep, id: str) -> dict[str, Any]:
    """Answer with the job's state and progress, and with the URL of its file once that is there."""
    return jobs.get(id).report()


@router.delete("/jobs/{id}")
async def remove(jobs: JobsDep, id: str) -> dict[str, str]:
    """Cancel the job if it is not done, and delete its files."""
    await jobs.remove(id)
    return {"state": "removed"}


@router.get("/jobs/{id}/{file}")
async def result(jobs: JobsDep, id: str, file: str) -> FileResponse:
    """Answer with the file of a finished job, or the part of it that the request asks for."""
    job = jobs.get(id)
    if job.state != "done" or file != job.output.name:
        raise HTTPException(404, "The job has made no such file.")
    return FileResponse(job.output)


def _changes(engine: Engine, options: str) -> Iterator[str]:
    """Yield the options that this animator has, as `animate --set` takes them. Raise OptionError if one is wrong."""
    changes = parse_json(options, OptionChanges).root
    AnimateOptions().changed(changes)
    for name, value in changes.items():
        if name in engine.loaded.animator.supports:
            yield f"{name}={json.dumps(value)}"


def _machine(settings: Settings, engine: Engine) -> Iterator[str]:
    """Yield the arguments that choose the live sessions' animator."""
    yield from ("--animator", engine.loaded.animator.name, "--size", str(settings.size))
    yield from ("--precision", settings.precision, "--backend", settings.backend)
    yield from _weights(settings)


def _weights(settings: Settings) -> Iterator[str]:
    if settings.weights:
        yield from ("--weights", str(settings.weights.absolute()))  # the job runs in another folder
