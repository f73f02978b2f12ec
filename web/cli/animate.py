"""`run.py animate`: a portrait and a driving video in, a video out."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from pipeline.core.animator import Animator, Capability, Progress
from pipeline.core.options import AnimateOptions
from pipeline.core.registry import require
from pipeline.face.tracker import FaceTracker
from pipeline.files.animate import AnimateReport, Player, animate, is_video, read_source
from pipeline.models.face_models import FaceModels
from web.cli.console import bar, check_folder, write_json
from web.cli.loading import load, options, without_effect

if TYPE_CHECKING:
    from pipeline.liveportrait.animator import LivePortrait


def run(parsed: argparse.Namespace) -> int:
    """Animate file to file; print how many frames and how fast."""
    changed = options(parsed.set)
    _check_files(parsed)
    models, loaded = load(parsed)
    with bar("Animating", "frame") as progress:
        report = _perform(parsed, models, loaded.animator, changed, progress)
    about = {"animator": loaded.animator.name, "reason": loaded.reason, "device": loaded.device}
    write_json(parsed.json, about | dataclasses.asdict(report))
    print(f"{parsed.output}: {report.frames} frames in {report.seconds:.1f} s ({report.fps:.3g} a second).")
    for warning in (*without_effect(parsed.set, loaded.animator), *report.warnings):
        print(f"Note: {warning}")
    return 0


def _check_files(parsed: argparse.Namespace) -> None:
    """Report a mistyped name before the networks are loaded."""
    if not is_video(parsed.source):
        read_source(parsed.source)
    check_folder("--save-motion", parsed.save_motion)


def _perform(
    parsed: argparse.Namespace, models: FaceModels, animator: Animator, options: AnimateOptions, progress: Progress
) -> AnimateReport:
    special = dict(_special(parsed))
    for asked, capability in special.items():
        require(animator, capability, asked)
    picture = parsed.driving and not is_video(parsed.driving)
    if special or (picture and "picture_driver" in animator.capabilities):  # others read it as a video of one frame
        from pipeline.files.liveportrait_jobs import AnimateRequest, FileAnimator

        request = AnimateRequest(parsed.source, parsed.output, parsed.driving, parsed.motion, parsed.save_motion)
        return FileAnimator(cast("LivePortrait", animator), models, options).animate(request, progress)
    player = Player(animator, FaceTracker(models), animator.prepare(read_source(parsed.source)), options)
    return animate(player, parsed.driving, parsed.output, progress)


def _special(parsed: argparse.Namespace) -> Iterator[tuple[str, Capability]]:
    """Yield what is asked beyond a video that drives a picture, and the capability that it needs."""
    if parsed.motion:
        yield "--motion", "motion_files"
    if parsed.save_motion:
        yield "--save-motion", "motion_files"
    if is_video(parsed.source):
        yield "A video in --source", "video_source"
