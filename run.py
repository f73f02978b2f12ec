"""The command line: parse, call, exit code. `python run.py` serves; `python run.py --help` names the rest.

Packages are imported by the command that needs them, so that `doctor` can tell which ones are missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import json
import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from realtime.webrtc.settings import MediaSettings, address_for
from web.cli.arguments import MODEL_SETS, parse
from web.core.settings import Settings

if TYPE_CHECKING:
    from pipeline.core.animator import AnimateOptions, Animator, Progress
    from pipeline.doctor import Finding
    from pipeline.files.animate import AnimateReport
    from pipeline.liveportrait.animator import LivePortrait
    from pipeline.load import Loaded
    from pipeline.models.face_models import FaceModels
    from pipeline.models.store import WeightsRow

INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. What goes wrong is one sentence on stderr (with --verbose, a traceback)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, "serve")
    parsed = parse(words)
    parsed.line = shlex.join(["run.py", *words])
    try:
        code: int = COMMANDS[parsed.command](parsed)
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

    _log(parsed.verbose)
    sys.setswitchinterval(0.001)  # the thread that moves packets may not wait 5 ms for one that computes
    _single_threaded()
    address = parsed.media_address or address_for(parsed.host)
    servers, advertise = tuple(parsed.ice_server), parsed.advertise_address
    media = MediaSettings(address, parsed.media_ports, servers, advertise=advertise)
    names = {field.name for field in dataclasses.fields(Settings)} - {"media", "allow_origins"}
    chosen = {name: getattr(parsed, name) for name in names}
    _face_models()  # here, where a bar can show the download; the server finds them in the cache
    with _bar("Warming up", "step") as progress:
        serve(Settings(**chosen, media=media, allow_origins=tuple(parsed.allow_origin)), progress)
    return 0


def _log(verbose: bool) -> None:
    """To stderr. Of other packages warnings only: aioice would tell the addresses of users."""
    logging.basicConfig(format="%(message)s")
    for layer in ("pipeline", "realtime", "web"):
        logging.getLogger(layer).setLevel(logging.DEBUG if verbose else logging.INFO)


def _camera(parsed: argparse.Namespace) -> int:
    from pipeline.files.animate import read_source
    from pipeline.imaging.source_picture import BUILTIN
    from realtime.local_session import opened, perform
    from web.cli.camera import local_session, opened_camera, outputs
    from web.services.engine import load_engine

    if parsed.list:
        return _list_cameras()
    _log(parsed.verbose)
    sys.setswitchinterval(0.001)  # the thread that keeps the virtual camera's pace may not wait 5 ms
    _single_threaded()
    sources, options = [*(parsed.source or BUILTIN.values())], _options(parsed.set)
    pictures = [read_source(path) for path in sources]  # a mistyped name is told before anything is opened
    chosen = {name: getattr(parsed, name) for name in ("animator", "precision", "weights", "size", "backend")}
    with closing(opened_camera(parsed.camera, parsed.fps)) as camera, opened(outputs(parsed)) as shown:
        with _bar("Warming up", "step") as progress:
            engine = load_engine(Settings(source=sources[0], **chosen), progress)
        with closing(engine):
            _refuse(engine.loaded.animator, {"--save-motion": parsed.save_motion})
            doubts = engine.portraits.first.portrait.warnings if parsed.source else ()
            for note in (*_ineffective(parsed.set, engine.loaded.animator), *doubts):
                print(f"Note: {note}")
            local = local_session(engine, pictures[1:], options, camera)
            perform(local, shown, lambda: print(f"{_about(engine.loaded)} Ctrl-C ends it.", flush=True))
    return 0


def _list_cameras() -> int:
    from pipeline.doctor import cameras, virtual_camera

    _print_findings([*cameras(), *virtual_camera()])
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
    from pipeline.files.animate import is_video, read_source

    if not is_video(parsed.source):
        read_source(parsed.source)
    if parsed.save_motion and not parsed.save_motion.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder for --save-motion does not exist", str(parsed.save_motion))


def _perform(
    parsed: argparse.Namespace, models: FaceModels, animator: Animator, options: AnimateOptions, progress: Progress
) -> AnimateReport:
    from pipeline.face.tracker import FaceTracker
    from pipeline.files.animate import Player, animate, is_video, read_source

    if animator.name == "liveportrait":
        from pipeline.files.liveportrait_jobs import AnimateRequest, FileAnimator

        job = AnimateRequest(parsed.source, parsed.output, parsed.driving, parsed.motion, parsed.save_motion)
        return FileAnimator(cast("LivePortrait", animator), models, options).animate(job, progress)
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
    from pipeline.models import face_models
    from pipeline.models.liveportrait_hub import ANIMALS, HUMAN

    sets: dict[str, Any] = {"face": face_models, HUMAN.name: HUMAN, ANIMALS.name: ANIMALS}
    here = ["face", *(name for name in MODEL_SETS[1:] if sets[name].is_begun())]
    names = [parsed.models] if parsed.models else {"list": MODEL_SETS, "fetch": ["face"], "verify": here}[parsed.action]
    with _bar("Fetching the model files", "B") as progress:
        actions: dict[str, Callable[[Any], list[WeightsRow]]] = {
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
    _print_findings(findings)
    blocking = [finding.subject for finding in findings if finding.blocks]
    print(
        f"\nThe puppet cannot run yet: {', '.join(blocking)}." if blocking else "\nThe puppet can run on this machine."
    )
    return int(bool(blocking))


def _print_findings(findings: Sequence[Finding]) -> None:
    for remedy, group in groupby(findings, key=lambda finding: finding.remedy):
        for finding in group:
            print(f"{finding.state:8} {finding.subject}: {finding.detail}")
        if remedy:
            print(f"         -> {remedy}")


def _benchmark(parsed: argparse.Namespace) -> int:
    if parsed.precision_table:
        return _networks(parsed)
    if parsed.device:
        return _device(parsed)
    from pipeline.bench.animator import benchmark

    _single_threaded()
    models, loaded = _load(parsed)
    with _bar("Measuring", "frame") as progress:
        result = benchmark(loaded.animator, models, parsed.source, parsed.driving, progress)
    _write_json(parsed.json, dataclasses.asdict(result))
    print(result.table())
    return 0


def _device(parsed: argparse.Namespace) -> int:
    from realtime.bench.device import contestant, effort, measure

    _single_threaded()
    chosen = contestant(parsed.device, parsed.backend, parsed.precision, parsed.weights)
    wanted, report = effort(chosen.device, parsed.frames), None
    try:
        with _bar("Warming up", "step") as warming, _bar("Measuring", "round") as progress:
            for report in measure(chosen, wanted, warming, progress):
                _write_json(parsed.json, dataclasses.asdict(report))
    finally:
        if report:
            print(report.table())
    return 0


def _latency(parsed: argparse.Namespace) -> int:
    from realtime.bench.latency_report import page, table
    from realtime.webrtc.impairment import Impairment
    from web.cli.latency import Plan, driver_pictures, measure
    from web.cli.latency_clients import choose
    from web.services.engine import load_engine

    for flag, path in {"--json": parsed.json, "--report": parsed.report}.items():
        if path and not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, f"the folder for {flag} does not exist", str(path))
    bad = Impairment(parsed.loss / 100, parsed.delay / 1000, parsed.jitter / 1000)
    client, reason = choose(parsed.client)
    print(f"Client: {client} ({reason}).", file=sys.stderr)
    sys.setswitchinterval(0.001)  # as serve does
    _single_threaded()
    _face_models()
    names = ("animator", "precision", "weights", "size", "backend")
    chosen = {name: getattr(parsed, name) for name in names}
    media = MediaSettings(strict=True, impairment=None if bad == Impairment() else bad)
    settings = Settings(port=0, media=media, **chosen)
    with _bar("Warming up", "step") as progress:
        engine = load_engine(settings, progress)
    plan = Plan(client, parsed.seconds, parsed.fps, "H264" if parsed.codec == "h264" else "VP8")
    with _bar("Measuring", "s") as progress:
        measured = measure(plan, settings, engine, driver_pictures(), progress)
    _write_json(parsed.json, measured.figures)
    if parsed.report:
        parsed.report.write_text(page(measured))
    print(table(measured))
    return 0


def _compare(parsed: argparse.Namespace) -> int:
    from pipeline.bench.compare.compare import EFFORTS, QUICK, compare, wanted
    from pipeline.bench.compare.optimizations import ROWS
    from pipeline.bench.compare.prepare import chosen_device, sees_videos, stage
    from pipeline.bench.compare.report_html import page
    from pipeline.bench.compare.report_text import table
    from pipeline.bench.compare.setup import served
    from realtime.gpu.start import use_streams

    _single_threaded()
    device = chosen_device(parsed.device)
    rows = wanted(ROWS, device, parsed.only, parsed.quick)
    effort = (QUICK if parsed.quick else EFFORTS)[device.type]
    effort = dataclasses.replace(effort, frames=parsed.frames or effort.frames)
    optimized = served(device, Settings.backend, Settings.precision)
    models = _face_models() if sees_videos() else None
    with TemporaryDirectory() as folder, _bar("Comparing", "frame") as progress:
        files = parsed.source, parsed.driving
        scene = stage(device, models, files, parsed.weights, Path(folder), use_streams)
        print(f"LivePortrait with {scene.weights}, on {device.type}", file=sys.stderr)
        found = compare(scene, optimized, rows, effort, parsed.line, progress)
    _write_json(parsed.json, found.as_json())
    if parsed.report:
        parsed.report.write_text(page(found))
    print(table(found))
    return 0


def _export(parsed: argparse.Namespace) -> int:
    from pipeline.liveportrait.backends.export import export_onnx
    from pipeline.liveportrait.backends.tensorrt import export_tensorrt
    from pipeline.load import about_weights, best_device, load_liveportrait

    networks, device = load_liveportrait(parsed.weights), best_device()
    export = {"onnx": export_onnx, "tensorrt": export_tensorrt}[parsed.backend]
    with _bar("Exporting", "network") as progress:
        manifest = export(networks, parsed.output, parsed.precision, device, progress)
    print(f"{parsed.output}: {len(manifest.networks)} networks for {device.type}, {manifest.precision}, ", end="")
    print(f"and manifest.json ({about_weights(networks.digests)}).")
    return 0


def _networks(parsed: argparse.Namespace) -> int:
    from pipeline.bench.network_costs import measure
    from pipeline.imaging.source_picture import default_portrait, read_picture
    from pipeline.load import about_weights, best_device, load_liveportrait

    networks, device = load_liveportrait(parsed.weights), best_device()
    portrait = read_picture(default_portrait())
    result = measure(networks.to(device), portrait, _face_models(), device, about_weights(networks.digests))
    _write_json(parsed.json, dataclasses.asdict(result))
    print(result.table())
    return 0


def _load(parsed: argparse.Namespace) -> tuple[FaceModels, Loaded]:
    from pipeline.load import load_animator

    models = _face_models()
    loaded = load_animator(parsed.animator, models, parsed.size, parsed.precision, parsed.weights, parsed.backend)
    with _bar("Warming up", "step") as progress:
        loaded = loaded.warmed_up(progress)
    print(_about(loaded), file=sys.stderr)
    return models, loaded


def _about(loaded: Loaded) -> str:
    return f"Animator: {loaded.animator.name} on {loaded.device} ({loaded.reason})."


def _face_models() -> FaceModels:
    """Fetched on the first use; a bar shows it."""
    from pipeline.models.face_models import face_models

    with _bar("Fetching the model files", "B") as progress:
        return face_models(progress)


def _options(assignments: list[str]) -> AnimateOptions:
    from pipeline.core.animator import AnimateOptions

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


class _Show(Protocol):
    def __call__(self, done: int, total: int | None, what: str = "") -> None: ...


@contextmanager
def _bar(title: str, unit: str) -> Iterator[_Show]:
    """A progress bar that appears with the first progress: called with (done, in all) and perhaps what is done now."""
    from tqdm import tqdm

    bar: tqdm[NoReturn] | None = None

    def show(done: int, total: int | None, what: str = "") -> None:
        nonlocal bar
        bar = bar or tqdm(desc=title, unit=unit, unit_scale=unit == "B", total=total)
        bar.update(done - bar.n)
        if what:
            bar.set_postfix_str(what)
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


COMMANDS = {
    "serve": _serve,
    "camera": _camera,
    "animate": _animate,
    "benchmark": _benchmark,
    "compare": _compare,
    "latency": _latency,
    "export": _export,
    "weights": _weights,
    "doctor": _doctor,
}

if __name__ == "__main__":
    sys.exit(main())
