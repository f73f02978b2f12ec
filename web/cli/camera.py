"""`run.py camera`: a camera of this machine, a session without a browser, and where the puppet is shown."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from pipeline.core.animator import Picture
from pipeline.core.options import AnimateOptions
from pipeline.core.registry import require
from pipeline.doctor import cameras, virtual_camera
from pipeline.files.animate import read_source
from pipeline.imaging.source_picture import BUILTIN
from pipeline.models.store import cache_folder
from realtime.endpoints.camera import Camera, open_frames
from realtime.endpoints.framing import Framing
from realtime.endpoints.motion_recorder import MotionRecorder
from realtime.endpoints.output import Output
from realtime.endpoints.preview import Preview
from realtime.endpoints.recorder import Recorder
from realtime.endpoints.virtual_camera import VirtualCamera
from realtime.local_session import LocalSession, opened, perform
from realtime.session import SessionContext
from realtime.webrtc.settings import MediaSettings
from web.cli.console import bar, log
from web.cli.doctor import print_findings
from web.cli.loading import about, options, settings, use_one_thread, without_effect
from web.services.demo_clip import DemoClip
from web.services.engine import Engine, load_engine


def run(parsed: argparse.Namespace) -> int:
    """Animate the camera's driver until Ctrl-C; with --list, print the cameras instead."""
    if parsed.list:
        print_findings([*cameras(), *virtual_camera()])
        return 0
    log(parsed.verbose)
    sys.setswitchinterval(0.001)  # the thread that keeps the virtual camera's pace must not wait 5 ms
    use_one_thread()
    sources, changed = [*(parsed.source or BUILTIN.values())], options(parsed.set)
    pictures = [read_source(path) for path in sources]  # a mistyped name is reported before anything is opened
    with closing(_camera(parsed.camera, parsed.fps)) as camera, opened(_outputs(parsed)) as shown:
        with bar("Warming up", "step") as progress:
            engine = load_engine(settings(parsed, source=sources[0]), progress)
        with closing(engine):
            if parsed.save_motion:
                require(engine.loaded.animator, "motion_files", "--save-motion")
            for note in _notes(parsed, engine):
                print(f"Note: {note}")
            local = _local_session(engine, pictures[1:], changed, camera)
            perform(local, shown, lambda: print(f"{about(engine.loaded)} Ctrl-C ends it.", flush=True))
    return 0


def _notes(parsed: argparse.Namespace, engine: Engine) -> Iterator[str]:
    yield from without_effect(parsed.set, engine.loaded.animator)
    if parsed.source:
        yield from engine.portraits.first.portrait.warnings


def _camera(name: str, fps: int) -> Camera:
    """Open the camera of this name; "demo" is the demo driver's clip, which is rendered if it is not there yet."""
    if name == "demo":
        name = str(asyncio.run(DemoClip(cache_folder()).path()))
    return Camera(lambda: open_frames(name, fps))


def _local_session(engine: Engine, others: Sequence[Picture], options: AnimateOptions, camera: Camera) -> LocalSession:
    animator, first = engine.loaded.animator, engine.portraits.first.portrait
    portraits = [first, *map(animator.prepare, others)]
    return LocalSession(
        SessionContext(animator, engine.new_tracker, first, MediaSettings()), portraits, options, camera
    )


def _outputs(parsed: argparse.Namespace) -> Iterator[Callable[[], Output]]:
    """Yield how to open each output that was asked for; the window if none was."""
    if parsed.preview or (parsed.virtual_camera is None and parsed.record is None):
        yield lambda: Preview(not parsed.no_mirror)
    if parsed.record:
        yield lambda: Recorder(parsed.record, fps=parsed.fps)
    if parsed.save_motion:
        yield lambda: MotionRecorder(parsed.save_motion, parsed.fps)
    if parsed.virtual_camera is not None:
        framing = Framing(parsed.width, parsed.height, parsed.fit, parsed.fps)
        yield lambda: VirtualCamera("this program", parsed.virtual_camera, framing)
