"""The commands and their flags. Imports no package that may be missing."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from pipeline.core.choices import BackendName, Device, Precision
from pipeline.core.registry import animator_names
from realtime.endpoints.framing import FITS, Framing
from web.core.program import PROGRAM
from web.core.settings import Driver, Settings

MODEL_SETS = ("face", "liveportrait", "animals")


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default if it says something: not None, not False, not an empty list."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; `command` is the command's name. Exit with the usage if it is wrong."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="A webcam puppeteer: your face moves a portrait.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (summary, add_arguments) in COMMANDS.items():
        added = commands.add_parser(name, help=summary, description=summary, formatter_class=_Help)
        added.add_argument("--verbose", action="store_true", help="log more, and show tracebacks of errors")
        added.set_defaults(command=name)
        add_arguments(added)
    return parser.parse_args(words)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    _add_animator(parser)
    add = parser.add_argument
    add("--source", type=Path, metavar="PICTURE", help="the first portrait (default: a built-in one)")
    add("--portraits", type=Path, metavar="FOLDER", help="offer the portraits in this folder, and keep uploads there")
    add(
        "--driver",
        choices=get_args(Driver),
        default=Settings.driver,
        help="who drives the portrait on the page: each visitor's camera, or a stream (OBS, FFmpeg) to /whip",
    )
    add("--whip-token", metavar="TEXT", help="bearer token that streams and their viewers must send")
    add("--host", default=Settings.host, help="address of the page")
    add("--port", type=_port, default=Settings.port, help="port of the page; 0 takes any free port")
    add("--max-sessions", type=_positive, default=Settings.max_sessions, help="how many users at a time")
    add("--recordings", type=Path, metavar="FOLDER", help="where recordings are saved (default: your videos folder)")
    add(
        "--recordings-limit",
        type=_positive,
        default=Settings.recordings_limit,
        metavar="GB",
        help="most space for all recordings; none is deleted automatically",
    )
    add("--media-address", metavar="ADDR", help="address for audio and video (default: that of the page)")
    add("--media-ports", type=_port_range, metavar="LOW-HIGH", help="UDP ports for media; one port serves all users")
    add("--advertise-address", metavar="ADDR", help="address where browsers reach the media, behind NAT or in Docker")
    add("--ice-server", action="extend", nargs="+", default=[], metavar="URL", help="STUN or TURN servers")
    add("--ssl-certfile", type=Path, metavar="FILE", help="certificate (PEM); with it the page is served over https")
    add("--ssl-keyfile", type=Path, metavar="FILE", help="private key of the certificate")
    add("--password", metavar="TEXT", help="password that visitors must enter")
    add("--allow-origin", action="append", default=[], metavar="ORIGIN", help="another site that may open sessions")


def _add_camera(parser: argparse.ArgumentParser) -> None:
    _add_animator(parser)
    add = parser.add_argument
    add(
        "--source",
        type=Path,
        action="extend",
        nargs="+",
        default=[],
        metavar="PICTURE",
        help="one or more portraits (default: the built-in ones); the key N shows the next",
    )
    add(
        "--camera",
        default="0",
        metavar="WHICH",
        help="a number, a /dev path, a video file, the URL of a stream, or `demo`, a rendered driver",
    )
    add("--list", action="store_true", help="list the cameras of this machine, and exit")
    add(
        "--virtual-camera",
        nargs="?",
        const="",
        metavar="DEVICE",
        help="show the puppet on a virtual camera, for calls and OBS (without DEVICE: the first one)",
    )
    add(
        "--preview",
        action="store_true",
        help="show the puppet in a window; the default if no other output is chosen. Keys: C calibrate, "
        "N next portrait, Space pause, M mirror, O overlay, Q quit",
    )
    add("--no-mirror", action="store_true", help="do not mirror the window; what others see is never mirrored")
    add("--record", type=Path, metavar="FILE", help="record the puppet (.mp4)")
    add("--save-motion", type=Path, metavar="FILE", help="save the driver's motion (.npz); LivePortrait only")
    add("--fps", type=_rate, default=Framing.fps, help="frames per second of the camera and of every output")
    add("--width", type=_even, default=Framing.width, help="width of the virtual camera in pixels")
    add("--height", type=_even, default=Framing.height, help="height of the virtual camera in pixels")
    add("--fit", choices=FITS, default=Framing.fit, help="show the whole puppet with borders, or crop it to fill")
    _add_set(parser)


def _add_animate(parser: argparse.ArgumentParser) -> None:
    _add_animator(parser)
    add = parser.add_argument
    add("--source", type=Path, metavar="PICTURE", required=True, help="the portrait; with LivePortrait also a video")
    driver = parser.add_mutually_exclusive_group(required=True)
    driver.add_argument(
        "--driving", type=Path, metavar="VIDEO", help="video of the driver; with LivePortrait also a picture"
    )
    driver.add_argument("--motion", type=Path, metavar="FILE", help="saved motion (.npz, .pkl); LivePortrait only")
    add("--output", type=Path, metavar="VIDEO", required=True, help=".mp4, .mov or .mkv; for a picture .png or .jpg")
    add("--save-motion", type=Path, metavar="FILE", help="save the driver's motion (.npz); LivePortrait only")
    _add_set(parser)
    _add_json(parser)


def _add_benchmark(parser: argparse.ArgumentParser) -> None:
    _add_animator(parser)
    add = parser.add_argument
    add("--source", type=Path, nargs="+", default=[], metavar="PICTURE", help="portraits (default: a built-in one)")
    add("--driving", type=Path, nargs="+", default=[], metavar="VIDEO", help="driving videos (default: the demo)")
    add(
        "--precision-table",
        action="store_true",
        help="measure LivePortrait's networks one by one instead: error in 16 bits, time and memory",
    )
    add("--device", choices=get_args(Device), help="measure each part of LivePortrait on this device instead")
    add(
        "--frames",
        type=_positive,
        metavar="N",
        help="with --device: repetitions of each measurement (default: 300, on a CPU 3)",
    )
    _add_json(parser)


def _add_latency(parser: argparse.ArgumentParser) -> None:
    _add_animator(parser)
    add = parser.add_argument
    add("--seconds", type=_seconds, default=20, help="how long to measure, after a warm-up")
    add("--fps", type=_rate, default=30, help="frames per second of the camera")
    add("--codec", choices=("h264", "vp8"), default="h264", help="video codec in both directions")
    add("--client", choices=("browser", "python"), help="who connects (default: a browser, if there is one)")
    add("--loss", type=float, default=0, metavar="PERCENT", help="percentage of datagrams lost in each direction")
    add("--delay", type=float, default=0, metavar="MS", help="milliseconds added to the round trip, half each way")
    add("--jitter", type=float, default=0, metavar="MS", help="milliseconds by which each delay varies, up or down")
    add("--report", type=Path, metavar="FILE", help="write a page with graphs (.html)")
    _add_json(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--source", type=Path, metavar="PICTURE", help="the portrait (default: a built-in one)")
    add("--driving", type=Path, metavar="VIDEO", help="video of the driver (default: the demo)")
    _add_weights_folder(parser)
    add("--device", choices=get_args(Device), default="auto", help="where the networks run")
    add(
        "--frames",
        type=_positive,
        metavar="N",
        help="frames drawn for each row (default: 100, on a CPU 3; quick: fewer)",
    )
    add("--only", nargs="+", default=[], metavar="NAME", help="measure only these rows of the table")
    add("--quick", action="store_true", help="measure only the most important rows, with fewer frames")
    add("--report", type=Path, metavar="FILE", help="write a page with charts and pictures (.html)")
    _add_json(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--backend", choices=("onnx", "tensorrt"), required=True, help="format of the files")
    add("--output", type=Path, metavar="FOLDER", required=True, help="where to write")
    add("--precision", choices=("fp32", "fp16"), default="fp32", help="precision of the networks; fp16 needs a GPU")
    _add_weights_folder(parser)


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "fetch", "verify"))
    parser.add_argument(
        "models", nargs="?", choices=MODEL_SETS, help="which set; without it, fetch takes the face models"
    )


def _add_weights_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", type=Path, metavar="FOLDER", help="LivePortrait's weights (default: those that were fetched)"
    )


def _add_animator(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--animator", choices=animator_names(), default=Settings.animator, help="how the portrait is animated")
    add("--precision", choices=get_args(Precision), default=Settings.precision, help="precision of LivePortrait")
    add("--backend", choices=get_args(BackendName), default=Settings.backend, help="how LivePortrait's networks run")
    _add_weights_folder(parser)
    add("--size", type=_size, default=Settings.size, help="width and height of the animated picture in pixels")


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="set an option, like head=0.5 or badge=false"
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")


COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "serve": ("serve the page with the live puppet; the default", _add_serve),
    "camera": ("turn a camera of this machine into a puppet: a virtual camera, a window or a file", _add_camera),
    "animate": ("animate a picture with a video, file to file", _add_animate),
    "benchmark": ("measure speed and quality on this machine", _add_benchmark),
    "compare": ("compare LivePortrait as published with ours: speed, memory and quality", _add_compare),
    "latency": ("measure glass-to-glass latency, stage by stage, with a real client", _add_latency),
    "export": ("write LivePortrait's networks as ONNX files or TensorRT engines", _add_export),
    "weights": ("list, fetch or verify the model files", _add_weights),
    "doctor": ("report what this machine can do, what is missing and how to get it", lambda parser: None),
}
"""Each command's summary and flags; `web/cli/NAME.py` runs it."""


def _integer(low: int, high: int, text: str) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, not {text!r}")
    return int(text)


_positive = partial(_integer, 1, 1000)
_seconds = partial(_integer, 3, 86400)
_rate = partial(_integer, 5, 60)
_port = partial(_integer, 0, 65535)
_size = partial(_integer, 128, 1024)


def _even(text: str) -> int:
    number = _integer(128, 4096, text)
    if number % 2:
        raise argparse.ArgumentTypeError(f"must be even, not {text!r}")
    return number


def _port_range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    first, last = _port(low), _port(high if dash else low)
    if not 0 < first <= last:
        raise argparse.ArgumentTypeError(f"must be like 40000-40100 or 40000, not {text!r}")
    return first, last
