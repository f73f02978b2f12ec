"""Turn trials into figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.bench.compare.inputs import Inputs
from pipeline.bench.compare.result import Figures, Metric
from pipeline.bench.compare.turns import Trial
from pipeline.core.timing import percentiles
from pipeline.imaging.image_quality import landmark_error, psnr, ssim


class Judge:
    """Turns trials into figures, by comparing their pictures with the original's."""

    def __init__(self, inputs: Inputs, original: Trial) -> None:
        self._find, self._reference = inputs.find_face, original.shots
        self._on_device = inputs.device.type == "cuda"
        self._faces = {number: inputs.find_face(shot.crop) for number, shot in original.shots.items()}
        self.sees_faces = any(self._faces.values())

    def figures(self, trial: Trial | None) -> Figures:
        """Return the figures of a trial; all are None if there is no trial or it failed."""
        if trial is None or trial.reason:
            return Figures()
        shared = [number for number in trial.shots if number in self._reference]
        found, reference = ([shots[number] for number in shared] for shots in (trial.shots, self._reference))
        pairs = list(zip(found, reference, strict=True))
        memory = trial.memory.device if self._on_device else trial.memory.host
        return Figures(
            ms_p50=_rounded(_percentile(trial.ms, 50), 3),
            ms_p95=_rounded(_percentile(trial.ms, 95), 3),
            speedup=_rounded(_percentile(trial.beside, 50) / _percentile(trial.ms, 50), 3),
            memory_mb=_rounded(memory, 1),
            psnr_db=_rounded(psnr(np.stack([a.crop for a in found]), np.stack([b.crop for b in reference])), 2),
            ssim=_rounded(float(np.mean([ssim(a.crop, b.crop) for a, b in pairs])), 5),
            keypoint_error=_rounded(float(np.mean([np.abs(a.keypoints - b.keypoints) for a, b in pairs])), 7),
            landmark_error=_rounded(self._landmark_error(trial), 3),
        )

    def _landmark_error(self, trial: Trial) -> float | None:
        both = [(self._find(shot.crop), self._faces.get(number)) for number, shot in trial.shots.items()]
        errors = [landmark_error(seen, reference) for seen, reference in both if seen and reference]
        return float(np.mean(errors)) if errors else None


def headline(inputs: Inputs, original: Trial, best: Trial) -> Iterator[Metric]:
    """Yield the original beside the optimized settings, both timed in the same turns."""
    measured = best.reason is None
    before = best.beside if measured else original.ms
    for rank in (50, 95):
        after = _percentile(best.ms, rank) if measured else None
        yield _metric(f"processing time per frame, p{rank} (ms)", _percentile(before, rank), after)
    after = 1000 / _percentile(best.ms, 50) if measured else None
    yield _metric("frames per second", 1000 / _percentile(before, 50), after, more=True)
    yield _metric("peak memory, host (MB)", original.memory.host, best.memory.host)
    yield _metric("peak memory, device (MB)", original.memory.device, best.memory.device)
    yield _metric("time to first frame (s)", original.ready, best.ready if measured else None)
    sizes = [size / 1e6 for size in inputs.disk]
    yield _metric("model size on disk (MB)", sizes[0], sizes[1] if measured else None)


def _metric(name: str, original: float | None, optimized: float | None, more: bool = False) -> Metric:
    gain = None
    if original and optimized is not None:
        gain = 100 * (optimized / original - 1) * (1 if more else -1)
    return Metric(name, _rounded(original, 3), _rounded(optimized, 3), _rounded(gain, 1))


def _percentile(values: Sequence[float], rank: int) -> float:
    return percentiles(values)[f"p{rank}"]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
