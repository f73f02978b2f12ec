"""What `run.py camera` puts together: a camera of this machine, a session without a browser, and where it shows."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Iterator, Sequence

from pipeline.core.animator import AnimateOptions, Picture
from pipeline.models.store import cache_folder
from realtime.endpoints.camera import Camera, open_frames
from realtime.endpoints.framing import Framing
from realtime.endpoints.motion_recorder import MotionRecorder
from realtime.endpoints.output import Output
from realtime.endpoints.preview import Preview
from realtime.endpoints.recorder import Recorder
from realtime.endpoints.virtual_camera import VirtualCamera
from realtime.local_session import LocalSession
from realtime.session import SessionContext
from realtime.webrtc.settings import MediaSettings
from web.routes.demo_clip import DemoClip
from web.services.engine import Engine


def opened_camera(name: str, fps: int) -> Camera:
    """The camera of this name; "demo" is the demo driver's clip, which is made when it is not there yet."""
    if name == "demo":
        name = str(asyncio.run(DemoClip(cache_folder()).path()))
    return Camera(lambda: open_frames(name, fps))


def local_session(engine: Engine, others: Sequence[Picture], options: AnimateOptions, camera: Camera) -> LocalSession:
    """Of the engine's first portrait and of `others`, which the preview's key goes on to."""
    animator, first = engine.loaded.animator, engine.portraits.first.portrait
    portraits = [first, *map(animator.prepare, others)]
    return LocalSession(
        SessionContext(animator, engine.new_tracker, first, MediaSettings()), portraits, options, camera
    )


def outputs(parsed: argparse.Namespace) -> Iterator[Callable[[], Output]]:
    """How to make those that were asked for; the window where none was."""
    if parsed.preview or (parsed.virtual_camera is None and parsed.record is None):
        yield lambda: Preview(not parsed.no_mirror)
    if parsed.record:
        yield lambda: Recorder(parsed.record, fps=parsed.fps)
    if parsed.save_motion:
        yield lambda: MotionRecorder(parsed.save_motion, parsed.fps)
    if parsed.virtual_camera is not None:
        framing = Framing(parsed.width, parsed.height, parsed.fit, parsed.fps)
        yield lambda: VirtualCamera("this program", parsed.virtual_camera, framing)
