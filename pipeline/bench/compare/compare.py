"""`run.py compare`: the original against the settings that `serve` uses, and every optimization between them.

Begin with `compare`. A way of running is a `Setup` (setup.py); optimizations.py lists the ways that are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from pipeline.bench.compare.figures import NOT_USED, Ablation, Comparison, Judge, headline
from pipeline.bench.compare.footage import Footage
from pipeline.bench.compare.inputs import CompareError, Inputs
from pipeline.bench.compare.optimizations import Optimization
from pipeline.bench.compare.setup import ORIGINAL, Setup
from pipeline.bench.compare.turns import Bench, Effort, Say, Trial
from pipeline.bench.host import cpu_info, machine
from pipeline.bench.memory import peak, restart_peak, steady

NO_LPIPS = "LPIPS is not measured: its weights are not part of this project."
NO_FACE = (
    "The landmark error is not measured: no face is found in the original's pictures, or the face models are missing."
)

INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")  # for the networks

EFFORTS = {"cpu": Effort(frames=3, together=4), "cuda": Effort(frames=100, together=4)}
QUICK = {"cpu": Effort(frames=2, together=5), "cuda": Effort(frames=30, together=5)}


@dataclass(frozen=True)
class RequestedRow:
    """A row, and the reason if it is not measured here."""

    row: Optimization
    reason: str | None = None


def requested_rows(
    rows: Sequence[Optimization], device: torch.device, only: Sequence[str], quick: bool
) -> list[RequestedRow]:
    """Return the rows to measure: all, or `only` these. Raise CompareError for an unknown name."""
    names = [row.name for row in rows]
    for name in only:
        if name not in names:
            raise CompareError(f"There is no row {name!r}. Choose from {', '.join(names)}.")
    return [
        RequestedRow(row, _left_out(row, device, quick and not only)) for row in rows if row.name in (only or names)
    ]


def _left_out(row: Optimization, device: torch.device, quick: bool) -> str | None:
    if row.device == "cuda" != device.type:
        needed = f" It also needs a package: `pip install {row.package}`." if row.package else ""
        return f"It needs a CUDA device; none was found.{needed}"
    if row.device == "cpu" != device.type:
        return "It is for networks on a CPU, and these run on a CUDA device."
    return "Left out by --quick." if quick and not row.quick else None


def compare(
    inputs: Inputs, optimized: Setup, asked: Sequence[RequestedRow], effort: Effort, command: str, say: Say
) -> Comparison:
    """Measure everything in one run. Raise CompareError if not even the original can be measured."""
    torch.backends.cudnn.benchmark = True  # for all setups, or the first backend that sets it would change the others
    steady()
    bench = Bench(inputs, effort, say)
    rows = [each.row for each in asked if each.reason is None]
    alone = {optimized: "optimized"} | {row.added(): row.name for row in rows if not row.added().keeps_memory}
    last = {row.added(): row.name for row in rows if row.added().keeps_memory}  # they change the allocator for good
    removed = {row.name: row.removed(optimized) for row in rows}
    without = {setup: f"without {name}" for name, setup in removed.items() if setup}
    bench.total = sum(bench.frames(list(setups)) for setups in (alone, without, last) if setups)
    original, added = bench.against(("original", ORIGINAL), alone)
    if original.reason:
        raise CompareError(f"The original cannot be measured: {original.reason}")
    best, taken = added[optimized], dict[Setup, Trial]()
    if without and best.reason is None:
        _, taken = bench.against(("optimized", optimized), without)
    if last:
        added |= bench.against(("original", ORIGINAL), last)[1]
    judge = Judge(inputs, original)
    table = []
    for each in asked:
        less = removed.get(each.row.name)
        table.append(_ablation(each, added.get(each.row.added()), taken.get(less) if less else None, judge))
    return Comparison(
        machine=_conditions(inputs, optimized, effort),
        weights=inputs.weights,
        command=command,
        headline=tuple(headline(inputs, original, best)),
        ablation=tuple(_with_reading(table, inputs.footage)),
        notes=tuple(_notes(original, best, judge)),
        samples=tuple((shot.crop, best.shots[n].crop) for n, shot in original.shots.items() if n in best.shots),
    )


def _conditions(inputs: Inputs, optimized: Setup, effort: Effort) -> dict[str, str]:
    """Return the machine and everything on it that affects the figures, by name."""
    device, flags = inputs.device, cpu_info(r"\w+")
    cpu = f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    return machine() | {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        "instructions": " ".join(name for name in INSTRUCTIONS if name in flags) or "unknown",
        "driver": inputs.footage.about,
        "frames": f"{effort.frames} of each setup after a first one, in turns with {effort.together} other setups",
        "original": "plain eager FP32, frame by frame, source features for each frame, the whole video loaded first",
        "optimized": str(optimized),
    }


def _ablation(each: RequestedRow, alone: Trial | None, without: Trial | None, judge: Judge) -> Ablation:
    name, reason = each.row.name, each.reason or (alone.reason if alone else None)
    if reason or alone is None:
        return Ablation(name, "unavailable", reason)
    said = None
    if without is None:
        said = NOT_USED
    elif without.reason:
        said = f"Without it: {without.reason}"
    return Ablation(name, "measured", said, judge.figures(alone), judge.figures(without))


def _with_reading(table: Sequence[Ablation], footage: Footage) -> Iterator[Ablation]:
    """Yield the rows, with the memory that both ways of reading a video need."""
    for row in table:
        if row.name == "streaming" and row.status == "measured":
            counts = (max(1, footage.count // 2), footage.count)
            loaded, streamed = ([reading_memory(footage, streams, n) for n in counts] for streams in (False, True))
            text = (
                f"Reading alone takes for {counts[0]} and {counts[1]} frames {_mb(loaded)}, streamed {_mb(streamed)}."
            )
            row = replace(row, reason=f"{text} {row.reason or ''}".strip())
        yield row


def _mb(sizes: Sequence[float | None]) -> str:
    return " and ".join("unknown" if size is None else f"{size:.0f} MB" for size in sizes)


def reading_memory(footage: Footage, streams: bool, count: int) -> float | None:
    """Return the most MB that reading `count` frames of the video adds; None if the system does not report it."""
    host = torch.device("cpu")
    before = restart_peak(host)
    frames = footage.frames(reduced=streams)
    kept = [frame for _, frame in zip(range(count), frames, strict=False) if not streams]
    after = peak(host)
    del kept
    return None if before is None or after is None else (after - before) / 1e6


def _notes(original: Trial, best: Trial, judge: Judge) -> Iterator[str]:
    if best.reason:
        yield f"The optimized settings cannot be measured: {best.reason}"
    first, last = (best.held[0], best.held[-1]) if best.held else (None, None)
    if first is not None and last is not None:
        sizes = f"{first / 1e6:.0f} and {last / 1e6:.0f} MB"
        yield f"After the first and the last of {len(best.held)} optimized frames the process held {sizes}."
    yield NO_LPIPS
    if not judge.sees_faces:
        yield NO_FACE
