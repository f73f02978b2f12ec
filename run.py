"""The command line: parse, call, exit code. `python run.py` serves; `python run.py --help` names the rest.

Packages are imported by the command that needs them, so that `doctor` can tell which ones are missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from realtime.settings import MediaSettings, address_for
from web.settings import Settings

if TYPE_CHECKING:
    from pipeline.animate import Report
    from pipeline.animator import AnimateOptions, Animator, Progress
    from pipeline.liveportrait.animator import LivePortrait
    from pipeline.load import Loaded
    from pipeline.weights import FaceModels, Row

ANIMATORS = ("auto", "liveportrait", "meshwarp")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
MODEL_SETS = ("face", "liveportrait", "animals")
INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. What goes wrong is one sentence on stderr (with --verbose, a traceback)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, "serve")
    parsed = _parser().parse_args(words)
    try:
        code: int = parsed.run(parsed)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if parsed.verbose:
            raise
        print(_sentence(error), file=sys.stderr)
        return 1
    return code


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, ImportError):
        return f"A package is missing or broken ({error}); `python run.py doctor` names the remedy."
    if type(error).__module__.partition(".")[0] in ("pipeline", "realtime", "web"):
        return str(error)  # the project's own exceptions are sentences
    return (
        f"Unexpected {type(error).__name__}: {error}. Run the command again with --verbose to see where, and report it."
    )


def _serve(parsed: argparse.Namespace) -> int:
    from web.serve import serve

    sys.setswitchinterval(0.001)  # the thread that moves packets may not wait 5 ms for one that computes
    _single_threaded()
    address = parsed.media_address or address_for(parsed.host)
    media = MediaSettings(address, parsed.media_ports, tuple(parsed.ice_server))
    names = {field.name for field in dataclasses.fields(Settings)} - {"media", "allow_origins"}
    chosen = {name: getattr(parsed, name) for name in names}
    _face_models()  # here, where a bar can show the download; the server finds them in the cache
    with _bar("Warming up", "step") as progress:
        serve(Settings(**chosen, media=media, allow_origins=tuple(parsed.allow_origin)), progress)
    return 0


def _animate(parsed: argparse.Namespace) -> int:
    options = _options(parsed.set)
    _check_files(parsed)
    models, loaded = _load(parsed)
    with _bar("Animating", "frame") as progress:
        report = _perform(parsed, models, loaded.animator, options, progress)
    about = {"animator": loaded.animator.name, "reason": loaded.reason, "device": loaded.device}
    _write_json(parsed.json, about | dataclasses.asdict(report))
    print(f"{parsed.output}: {report.frames} frames in {report.seconds:.1f} s ({report.fps:.3g} a second).")
    for warning in (*_ineffective(parsed.set, loaded.animator), *report.warnings):
        print(f"Note: {warning}")
    return 0


def _check_files(parsed: argparse.Namespace) -> None:
    """A mistyped name is told before the networks are loaded."""
    from pipeline.animate import is_video, read_source

    if not is_video(parsed.source):
        read_source(parsed.source)
    if parsed.save_motion and not parsed.save_motion.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder for --save-motion does not exist", str(parsed.save_motion))


def _perform(
    parsed: argparse.Namespace, models: FaceModels, animator: Animator, options: AnimateOptions, progress: Progress
) -> Report:
    from pipeline.animate import Player, animate, is_video, read_source
    from pipeline.face.tracker import FaceTracker

    if animator.name == "liveportrait":
        from pipeline.liveportrait.files import Job, Performer

        job = Job(parsed.source, parsed.output, parsed.driving, parsed.motion, parsed.save_motion)
        return Performer(cast("LivePortrait", animator), models, options).perform(job, progress)
    video = is_video(parsed.source)
    _refuse(animator, {"--motion": parsed.motion, "--save-motion": parsed.save_motion, "A video in --source": video})
    player = Player(animator, FaceTracker(models), animator.prepare(read_source(parsed.source)), options)
    return animate(player, parsed.driving, parsed.output, progress)


def _refuse(animator: Animator, flags: dict[str, Any]) -> None:
    from pipeline.load import AnimatorError

    for flag, value in flags.items():
        if value:
            raise AnimatorError(f"{flag} needs --animator liveportrait; this is {animator.name}.")


def _ineffective(assignments: list[str], animator: Animator) -> Iterator[str]:
    for assignment in assignments:
        name = assignment.partition("=")[0]
        if name not in animator.supports:
            yield f"{name} has no effect with {animator.name}."


def _weights(parsed: argparse.Namespace) -> int:
    from pipeline import weights
    from pipeline.hub import ANIMALS, HUMAN

    sets: dict[str, Any] = {"face": weights, HUMAN.name: HUMAN, ANIMALS.name: ANIMALS}
    here = ["face", *(name for name in MODEL_SETS[1:] if sets[name].is_begun())]
    names = [parsed.models] if parsed.models else {"list": MODEL_SETS, "fetch": ["face"], "verify": here}[parsed.action]
    with _bar("Fetching the model files", "B") as progress:
        actions: dict[str, Callable[[Any], list[Row]]] = {
            "list": lambda files: files.rows(),
            "fetch": lambda files: files.fetch(progress),
            "verify": lambda files: files.verify(),
        }
        rows = [row for name in names for row in actions[parsed.action](sets[name])]
    for row in rows:
        size = "unknown" if row.size is None else f"{row.size:,}"
        print(f"{row.state:8} {size:>11} bytes  {row.licence}  {row.name}")
        print(f"         sha256 {row.sha256 or 'as the hub tells it when it is fetched'}\n         {row.path}")
    if parsed.action == "fetch" and not parsed.models:
        print("LivePortrait's own weights (520 MB): `python run.py weights fetch liveportrait`.")
    if parsed.models == ANIMALS.name:
        print(f"To use them: --weights {rows[0].path.parents[1]}")
    return 0


def _doctor(_: argparse.Namespace) -> int:
    from pipeline.doctor import examine

    findings = list(examine(Settings.host, Settings.port))
    for remedy, group in groupby(findings, key=lambda finding: finding.remedy):
        for finding in group:
            print(f"{finding.state:8} {finding.subject}: {finding.detail}")
        if remedy:
            print(f"         -> {remedy}")
    blocking = [finding.subject for finding in findings if finding.blocks]
    print(
        f"\nThe puppet cannot run yet: {', '.join(blocking)}." if blocking else "\nThe puppet can run on this machine."
    )
    return int(bool(blocking))


def _benchmark(parsed: argparse.Namespace) -> int:
    from pipeline.benchmark import benchmark

    if parsed.precision_table:
        return _networks(parsed)
    _single_threaded()
    models, loaded = _load(parsed)
    with _bar("Measuring", "frame") as progress:
        result = benchmark(loaded.animator, models, parsed.source, parsed.driving, progress)
    _write_json(parsed.json, dataclasses.asdict(result))
    print(result.table())
    return 0


def _networks(parsed: argparse.Namespace) -> int:
    from pipeline.liveportrait.costs import measure
    from pipeline.load import about_weights, best_device, load_liveportrait
    from pipeline.portrait import default_portrait, read_picture

    networks, device = load_liveportrait(parsed.weights), best_device()
    portrait = read_picture(default_portrait())
    result = measure(networks.to(device), portrait, _face_models(), device, about_weights(networks.digests))
    _write_json(parsed.json, dataclasses.asdict(result))
    print(result.table())
    return 0


def _load(parsed: argparse.Namespace) -> tuple[FaceModels, Loaded]:
    from pipeline.load import load_animator

    models = _face_models()
    loaded = load_animator(parsed.animator, models, parsed.size, parsed.precision, parsed.weights)
    with _bar("Warming up", "step") as progress:
        loaded = loaded.warmed_up(progress)
    print(f"Animator: {loaded.animator.name} on {loaded.device} ({loaded.reason}).", file=sys.stderr)
    return models, loaded


def _face_models() -> FaceModels:
    """Fetched on the first use; a bar shows it."""
    from pipeline.weights import face_models

    with _bar("Fetching the model files", "B") as progress:
        return face_models(progress)


def _options(assignments: list[str]) -> AnimateOptions:
    from pipeline.animator import AnimateOptions

    pairs = (assignment.partition("=") for assignment in assignments)
    return AnimateOptions().changed({name: _value(text) for name, _, text in pairs})


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # the option's own check names what it wants


def _single_threaded() -> None:
    import cv2

    cv2.setNumThreads(1)  # more gains 5 % on a quiet machine and loses on a busy one


@contextmanager
def _bar(title: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar that appears with the first progress: called with (done, in all)."""
    from tqdm import tqdm

    bar: tqdm[NoReturn] | None = None

    def show(done: int, total: int | None) -> None:
        nonlocal bar
        bar = bar or tqdm(desc=title, unit=unit, unit_scale=unit == "B", total=total)
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


def _write_json(path: Path | None, content: dict[str, Any]) -> None:
    if path:
        path.write_text(json.dumps(content, indent=2) + "\n")


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Names the defaults that say something: not None, not False, not an empty list."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description="A webcam puppeteer: your face moves a portrait.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary, formatter_class=_Help)
        added.add_argument("--verbose", action="store_true", help="show tracebacks")
        added.set_defaults(run=run)
        return added

    _add_serve(command("serve", _serve, "the web page with the live puppet (what `run.py` alone does)"))
    _add_animate(command("animate", _animate, "animate a picture with a video, file to file"))
    _add_benchmark(command("benchmark", _benchmark, "measure speed and quality on this machine"))
    weights = command("weights", _weights, "the model files: list, fetch or verify them")
    weights.add_argument("action", choices=("list", "fetch", "verify"))
    weights.add_argument("models", nargs="?", choices=MODEL_SETS, help="which; fetch takes the face models if not told")
    command("doctor", _doctor, "what this machine can do, what is missing, and how to get it")
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    _add_animator(parser)
    parser.add_argument("--source", type=Path, metavar="PICTURE", help="the first portrait")
    parser.add_argument("--host", default=Settings.host, help="address of the page")
    parser.add_argument("--port", type=_port, default=Settings.port, help="port of the page; 0 takes any free one")
    parser.add_argument("--max-sessions", type=_positive, default=Settings.max_sessions, help="users at a time")
    parser.add_argument("--media-address", metavar="ADDR", help="address of audio and video (that of the page)")
    parser.add_argument("--media-ports", type=_port_range, metavar="LOW-HIGH", help="UDP ports of the media")
    parser.add_argument("--ice-server", action="extend", nargs="+", default=[], metavar="URL", help="STUN or TURN")
    parser.add_argument("--ssl-certfile", type=Path, metavar="FILE", help="certificate: serves https")
    parser.add_argument("--ssl-keyfile", type=Path, metavar="FILE", help="its key")
    parser.add_argument("--password", metavar="TEXT", help="ask visitors for it")
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="ORIGIN", help="a page elsewhere that may start sessions"
    )


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
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="as in head=0.5 or badge=false"
    )
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
    _add_json(parser)


def _add_animator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--animator", choices=ANIMATORS, default=Settings.animator, help="what draws the portrait")
    parser.add_argument("--precision", choices=PRECISIONS, default=Settings.precision, help="of LivePortrait's numbers")
    parser.add_argument(
        "--weights", type=Path, metavar="FOLDER", help="LivePortrait's checkpoints, where they are not the fetched ones"
    )
    parser.add_argument("--size", type=_size, default=Settings.size, help="side of the animated picture in pixels")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")


def _positive(text: str) -> int:
    return _integer(text, 1, 1000)


def _port(text: str) -> int:
    return _integer(text, 0, 65535)


def _size(text: str) -> int:
    return _integer(text, 128, 1024)


def _integer(text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, not {text!r}")
    return int(text)


def _port_range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    first, last = _port(low), _port(high)
    if not 0 < first <= last:
        raise argparse.ArgumentTypeError(f"must be like 40000-40100, not {text!r}")
    return first, last


if __name__ == "__main__":
    sys.exit(main())
