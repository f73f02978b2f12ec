"""`run.py benchmark`: measure the time of each stage, and how well the result follows its driver."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.bench.host import machine, peak_memory
from pipeline.bench.tables import markdown_table, stage_table
from pipeline.bench.tracked_quality import GROUPS, PARAMETERS, Quality, QualitySample, mean, measure
from pipeline.core.animator import Animator, Cue, Progress
from pipeline.core.options import AnimateOptions
from pipeline.core.timing import Stopwatch
from pipeline.face.tracker import FaceTracker
from pipeline.files.animate import Player, read_source
from pipeline.files.demo_clip import write_demo
from pipeline.files.video import VideoError, VideoReader
from pipeline.imaging.source_picture import BUILTIN
from pipeline.meshwarp.motion_transfer import aim
from pipeline.meshwarp.render import MeshPortrait
from pipeline.models.face_models import FaceModels

OPTIONS = AnimateOptions(badge=False)


@dataclass(frozen=True)
class QualityRow:
    """The quality of one driving video on one source."""

    source: str
    driving: str
    lost: int  # frames in which a face was not found; no figure includes them
    quality: Quality


@dataclass(frozen=True)
class Benchmark:
    """Everything that was measured."""

    machine: dict[str, str]
    animator: str
    size: int
    stages_ms: dict[str, dict[str, float]]  # p50, p95, p99 of a frame; "total" is track + motion + animate
    fps: float  # of one thread: 1000 / the median total
    peak_memory_mb: float | None  # of the whole process; None if the system does not report it
    rows: tuple[QualityRow, ...]  # empty for LivePortrait, which has no target landmarks

    def table(self) -> str:
        """Return the report as text: machine, stages, and quality by driver, by source and over all."""
        memory = "" if self.peak_memory_mb is None else f", peak memory {self.peak_memory_mb:.0f} MB"
        lines = [f"{name}: {text}" for name, text in self.machine.items()]
        lines += [f"{self.animator} at {self.size} x {self.size} on one thread: {self.fps:.3g} fps{memory}", ""]
        lines += stage_table(self.stages_ms)
        lines += ["", *_quality_lines(self.rows)] if self.rows else []
        return "\n".join(lines)


def benchmark(
    animator: Animator, models: FaceModels, sources: Sequence[Path], drivings: Sequence[Path], progress: Progress
) -> Benchmark:
    """Animate every source with every driving video (the built-in ones if none are given) and measure.

    Raise PortraitError or VideoError if a file cannot be used.
    """
    watch = Stopwatch()
    portraits = {path.stem: animator.prepare(read_source(path)) for path in sources or [BUILTIN["astronaut"]]}
    rest = animator.animate([Cue(portrait, OPTIONS) for portrait in portraits.values()])  # the first call is slow
    with tempfile.TemporaryDirectory() as folder:
        if not drivings:
            drivings = [Path(folder) / "demo.mp4"]
            write_demo(drivings[0])
        rows, done, total = [], 0, len(portraits) * sum(map(_expected_frames, drivings))
        for source, portrait in portraits.items():
            player = Player(animator, FaceTracker(models), portrait, OPTIONS)
            for driving in drivings:
                samples = []
                for sample in _samples(player, FaceTracker(models), driving, watch):
                    samples.append(sample)
                    done += 1
                    progress(done, total)
                if isinstance(portrait, MeshPortrait):
                    rows.append(_row(source, driving.stem, samples))
    stages = watch.percentiles()
    fps = 1000 / stages["total"]["p50"]
    return Benchmark(machine(), animator.name, len(rest[0]), stages, fps, peak_memory(), tuple(rows))


def _expected_frames(driving: Path) -> int:
    with VideoReader(driving) as video:
        return video.expected_frames or 0


def _samples(player: Player, viewer: FaceTracker, driving: Path, watch: Stopwatch) -> Iterator[QualitySample | None]:
    """Yield a sample for each frame, None if either face is not seen; `viewer` tracks the animated picture."""
    with VideoReader(driving) as video:
        driver = player.calibrate(video, driving)
    with VideoReader(driving) as video:
        for played in player.play(video, driver, watch):
            seen = viewer.track(played.picture, played.frame.time, smoothing=0.0)  # smoothing would lag behind
            if seen and played.motion and isinstance(player.portrait, MeshPortrait):
                target = aim(player.portrait.rest, played.cue)
                yield QualitySample(played.motion.face, target.landmarks, target.pose, seen)
            else:
                yield None


def _row(source: str, driving: str, samples: Sequence[QualitySample | None]) -> QualityRow:
    seen = [sample for sample in samples if sample]
    if not seen:
        raise VideoError(f"No face is found in {source} when {driving} drives it. Choose another source.")
    return QualityRow(source, driving, len(samples) - len(seen), measure(seen))


def _quality_lines(rows: Sequence[QualityRow]) -> list[str]:
    heads = ["group", "n", "lost", *GROUPS, *(f"r {name}" for name in PARAMETERS), "pose MAE y/p/r", "jit px"]
    drivings, sources = dict.fromkeys(row.driving for row in rows), dict.fromkeys(row.source for row in rows)
    cells = [_quality_cells(f"driver {name}", [row for row in rows if row.driving == name]) for name in drivings]
    cells += [_quality_cells(f"source {name}", [row for row in rows if row.source == name]) for name in sources]
    return markdown_table(heads, [*cells, _quality_cells("all", rows)])


def _quality_cells(name: str, rows: Sequence[QualityRow]) -> list[str]:
    quality = mean([row.quality for row in rows])
    cells = [name, str(quality.frames), str(sum(row.lost for row in rows))]
    cells += [f"{value:.2f}" for value in (*quality.errors.values(), *quality.correlations.values())]
    return [*cells, "/".join(f"{angle:.1f}" for angle in quality.pose_error), f"{quality.jitter:.2f}"]
