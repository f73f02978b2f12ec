"""What can be said on the command line, for `run.py`. Imports no package that may be missing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pipeline.core.choices import BackendName, Device, Precision
from pipeline.core.registry import animator_names
from realtime.endpoints.framing import FITS, Framing
from web.core.program import PROGRAM
from web.core.settings import Driver, Settings

MODEL_SETS = ("face", "liveportrait", "animals")


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Names the defaults that say something: not None, not False, not an empty list."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


def parse(words: Sequence[str]) -> argparse.Namespace:
    """What the words say; `command` is the command's name. Ends the program where they say nothing that there is."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="A webcam puppeteer: your face moves a portrait.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary, formatter_class=_Help)
        added.add_argument("--verbose", action="store_true", help="show tracebacks; of the server, log more")
        added.set_defaults(command=name)
        return added

    _add_serve(command("serve", "serve the page with the live puppet; the default"))
    _add_camera(
        command("camera", "this machine's camera to a virtual camera for calls, a window or a file; no browser")
    )
    _add_animate(command("animate", "animate a picture with a video, file to file"))
    _add_benchmark(command("benchmark", "measure speed and quality on this machine"))
    _add_compare(command("compare", "original against optimized: speed, memory and quality, measured"))
    _add_latency(command("latency", "measure glass to glass, stage by stage, with a real client"))
    _add_export(command("export", "write LivePortrait's networks as ONNX files or TensorRT engines"))
    weights = command("weights", "the model files: list, fetch or verify them")
    weights.add_argument("action", choices=("list", "fetch", "verify"))
    weights.add_argument("models", nargs="?", choices=MODEL_SETS, help="which; fetch takes the face models if not told")
    command("doctor", "what this machine can do, what is missing, and how to get it")
    return parser.parse_args(words)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    _add_animator(parser)
    parser.add_argument("--source", type=Path, metavar="PICTURE", help="the first portrait")
    parser.add_argument("--portraits", type=Path, metavar="FOLDER", help="show these, too, and remember uploads there")
    parser.add_argument(
        "--driver",
        choices=get_args(Driver),
        default=Settings.driver,
        help="whom the page shows: whoever opens it, or the stream that OBS, GStreamer or FFmpeg sends to /whip",
    )
    parser.add_argument("--whip-token", metavar="TEXT", help="streams and their viewers must show it (Bearer)")
    parser.add_argument("--host", default=Settings.host, help="address of the page")
    parser.add_argument("--port", type=_port, default=Settings.port, help="port of the page; 0 takes any free one")
    parser.add_argument("--max-sessions", type=_positive, default=Settings.max_sessions, help="users at a time")
    parser.add_argument("--recordings", type=Path, metavar="FOLDER", help="of recordings (in your folder for videos)")
    parser.add_argument(
        "--recordings-limit",
        type=_positive,
        default=Settings.recordings_limit,
        metavar="GB",
        help="of all recordings there; none is deleted by itself",
    )
    parser.add_argument("--media-address", metavar="ADDR", help="address of audio and video (that of the page)")
    parser.add_argument(
        "--media-ports", type=_port_range, metavar="LOW-HIGH", help="UDP ports of the media; a single one is for all"
    )
    parser.add_argument(
        "--advertise-address", metavar="ADDR", help="where browsers reach the media, if not at --media-address"
    )
    parser.add_argument("--ice-server", action="extend", nargs="+", default=[], metavar="URL", help="STUN or TURN")
    parser.add_argument("--ssl-certfile", type=Path, metavar="FILE", help="certificate: serves https")
    parser.add_argument("--ssl-keyfile", type=Path, metavar="FILE", help="its key")
    parser.add_argument("--password", metavar="TEXT", help="ask visitors for it")
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="ORIGIN", help="a page elsewhere that may start sessions"
    )


def _add_camera(parser: argparse.ArgumentParser) -> None:
    _add_animator(parser)
    parser.add_argument(
        "--source",
        type=Path,
        action="extend",
        nargs="+",
        default=[],
        metavar="PICTURE",
        help="the portrait (the built-in one), and those that the key N goes on to",
    )
    parser.add_argument(
        "--camera",
        default="0",
        metavar="WHICH",
        help="its number or /dev path, a video file, the URL of a stream, or demo: a clip that needs none",
    )
    parser.add_argument("--list", action="store_true", help="name the cameras of this machine, and end")
    parser.add_argument(
        "--virtual-camera",
        nargs="?",
        const="",
        metavar="DEVICE",
        help="show the puppet there, for calls and OBS (the first one that there is)",
    )
    parser.add_argument(
        "--preview",
        action="store_true",
        help="show it in a window, which takes keys: C calibrate, N next portrait, Space pause, M mirror, O overlay, "
        "Q quit (also where nothing else is asked for)",
    )
    parser.add_argument(
        "--no-mirror",
        action="store_true",
        help="the window shows what others see; else it is a mirror, as in calls. Others never see it mirrored",
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="write it there (.mp4)")
    parser.add_argument("--save-motion", type=Path, metavar="FILE", help="keep the motion (.npz); LivePortrait only")
    parser.add_argument(
        "--fps", type=_rate, default=Framing.fps, help="frames per second, of the camera and what it moves"
    )
    parser.add_argument("--width", type=_even, default=Framing.width, help="of the virtual camera, in pixels")
    parser.add_argument("--height", type=_even, default=Framing.height, help="of the virtual camera, in pixels")
    parser.add_argument(
        "--fit", choices=FITS, default=Framing.fit, help="all of the puppet between black borders, or cropped to fill"
    )
    _add_set(parser)


def _add_animate(parser: argparse.ArgumentParser) -> None:
    _add_animator(parser)
    parser.add_argument(
        "--source", type=Path, metavar="PICTURE", required=True, help="the portrait; with LivePortrait also a video"
    )
    driver = parser.add_mutually_exclusive_group(required=True)
    driver.add_argument(
        "--driving", type=Path, metavar="VIDEO", help="whose face moves it; with LivePortrait also a picture"
    )
    driver.add_argument("--motion", type=Path, metavar="FILE", help="recorded motion (.npz, .pkl); LivePortrait only")
    parser.add_argument(
        "--output", type=Path, metavar="VIDEO", required=True, help=".mp4, .mov or .mkv; of two pictures .png or .jpg"
    )
    parser.add_argument("--save-motion", type=Path, metavar="FILE", help="keep the driver's motion; LivePortrait only")
    _add_set(parser)
    _add_json(parser)


def _add_benchmark(parser: argparse.ArgumentParser) -> None:
    _add_animator(parser)
    parser.add_argument(
        "--source", type=Path, nargs="+", default=[], metavar="PICTURE", help="portraits (the built-in one)"
    )
    parser.add_argument(
        "--driving", type=Path, nargs="+", default=[], metavar="VIDEO", help="videos (the built-in demo)"
    )
    parser.add_argument(
        "--precision-table",
        action="store_true",
        help="instead: LivePortrait's networks one by one, their errors in 16 bits, seconds and memory",
    )
    parser.add_argument(
        "--device", choices=get_args(Device), help="instead: how fast LivePortrait draws there, in every part"
    )
    parser.add_argument(
        "--frames",
        type=_positive,
        metavar="N",
        help="with --device: how often each thing is measured (300; 3 on a CPU)",
    )
    _add_json(parser)


def _add_latency(parser: argparse.ArgumentParser) -> None:
    _add_animator(parser)
    parser.add_argument("--seconds", type=_seconds, default=20, help="how long to measure, after a warm-up")
    parser.add_argument("--fps", type=_rate, default=30, help="frames per second of the camera")
    parser.add_argument("--codec", choices=("h264", "vp8"), default="h264", help="of both directions")
    parser.add_argument("--client", choices=("browser", "python"), help="who watches (a browser where there is one)")
    parser.add_argument("--loss", type=float, default=0, metavar="PERCENT", help="datagrams lost, each way")
    parser.add_argument("--delay", type=float, default=0, metavar="MS", help="added to the round trip, half each way")
    parser.add_argument("--jitter", type=float, default=0, metavar="MS", help="each delay is up to this more or less")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a page with graphs there (.html)")
    _add_json(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", type=Path, metavar="PICTURE", help="the portrait (the built-in one)")
    parser.add_argument("--driving", type=Path, metavar="VIDEO", help="whose face moves it (the built-in demo)")
    _add_weights(parser)
    parser.add_argument("--device", choices=get_args(Device), default="auto", help="where the networks run")
    parser.add_argument(
        "--frames", type=_positive, metavar="N", help="that each way of running draws (100, 3 on a CPU; fewer if quick)"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these rows of the table")
    parser.add_argument("--quick", action="store_true", help="the rows that matter most, with fewer frames")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a page (.html) with charts and pictures")
    _add_json(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", choices=("onnx", "tensorrt"), required=True, help="the format")
    parser.add_argument("--output", type=Path, metavar="FOLDER", required=True, help="where to write")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32", help="of what draws; fp16 for a GPU")
    _add_weights(parser)


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", type=Path, metavar="FOLDER", help="LivePortrait's checkpoints, where they are not the fetched ones"
    )


def _add_animator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--animator", choices=animator_names(), default=Settings.animator, help="what draws the portrait"
    )
    parser.add_argument(
        "--precision", choices=get_args(Precision), default=Settings.precision, help="of LivePortrait's numbers"
    )
    parser.add_argument(
        "--backend", choices=get_args(BackendName), default=Settings.backend, help="how LivePortrait's networks run"
    )
    _add_weights(parser)
    parser.add_argument("--size", type=_size, default=Settings.size, help="side of the animated picture in pixels")


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="as in head=0.5 or badge=false"
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")


def _positive(text: str) -> int:
    return _integer(text, 1, 1000)


def _seconds(text: str) -> int:
    return _integer(text, 3, 86400)


def _rate(text: str) -> int:
    return _integer(text, 5, 60)


def _port(text: str) -> int:
    return _integer(text, 0, 65535)


def _size(text: str) -> int:
    return _integer(text, 128, 1024)


def _even(text: str) -> int:
    number = _integer(text, 128, 4096)
    if number % 2:
        raise argparse.ArgumentTypeError(f"must be even, not {text!r}")
    return number


def _integer(text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, not {text!r}")
    return int(text)


def _port_range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    first, last = _port(low), _port(high if dash else low)
    if not 0 < first <= last:
        raise argparse.ArgumentTypeError(f"must be like 40000-40100 or 40000, not {text!r}")
    return first, last
