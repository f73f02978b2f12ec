"""The report of `run.py benchmark --device`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.bench.networks import Measured, Milliseconds
from pipeline.bench.roofline import WORK, Roofline
from pipeline.bench.stages import Batch
from pipeline.bench.tables import markdown_table, percentile_cells, stage_table
from realtime.bench.throughput import Throughput

FRAME = "frame"


@dataclass(frozen=True)
class DeviceReport:
    """Everything that was measured until now; parts that are still to come are empty."""

    machine: Mapping[str, str]
    weights: str
    backend: str
    frames: int  # rounds of each measurement
    start_s: float  # from no network loaded to the first animated picture
    roofline: Roofline | None = None
    stages_ms: Milliseconds = field(default_factory=dict)
    batches: Sequence[Batch] = ()
    memory_mb: Mapping[str, float | None] = field(default_factory=dict)  # the most, until batches were drawn
    sessions: Sequence[Throughput] = ()
    networks: Sequence[Measured] = ()  # the backend is the last one

    def table(self) -> str:
        """Return the report as text."""
        lines = [*self._head()]
        lines += self._stage_lines() if self.stages_ms else ()
        lines += self._batch_lines() if self.batches else ()
        lines += self._session_lines() if self.sessions else ()
        lines += self._network_lines() if self.networks else ()
        return "\n".join(lines)

    def _head(self) -> Iterator[str]:
        for name, text in self.machine.items():
            yield f"{name}: {text}"
        yield f"LivePortrait with {self.weights}; backend {self.backend}; {self.frames} rounds of each measurement"
        yield f"first picture {self.start_s:.1f} s after the start (without the start of Python and its imports)"
        memory = [f"{name} {mb:.0f} MB" for name, mb in self.memory_mb.items() if mb is not None]
        if memory:
            yield f"peak memory, before the networks were compared: {', '.join(memory)}"
        if self.roofline:
            products = ", ".join(f"{kind} {peak:.4g}" for kind, peak in self.roofline.tflops.items())
            yield f"peaks of this device: matrix product {products} TFLOP/s; copy {self.roofline.copy_gbs:.4g} GB/s"

    def _stage_lines(self) -> Iterator[str]:
        yield from _heading(
            "One frame, from the camera's picture on the host to the animated one on the host (I420, 512 x 512)"
        )
        yield from stage_table(self.stages_ms)
        yield f'The device is waited for after each stage, but not within "{FRAME}". Stitching is part of "compose".'

    def _batch_lines(self) -> Iterator[str]:
        yield from _heading("Drawing several pictures in one call (W+G)")
        rows = (
            [str(b.size), f"{b.ms['p50'] / b.size:.2f}", *percentile_cells(b.ms)] for b in self.batches if not b.reason
        )
        yield from markdown_table(("batch", "ms per picture", "p50 ms", "p95 ms", "p99 ms"), rows)
        yield from (f"A batch of {b.size} is not available: {b.reason}" for b in self.batches if b.reason)

    def _session_lines(self) -> Iterator[str]:
        yield from _heading("Sessions at once, each sending its next frame once it has the picture")
        heads = ("sessions", "frames/s", "p50 ms", "p95 ms", "p99 ms", "worker busy", "mean batch: motion", "drawing")
        rows = (
            [str(s.sessions), f"{s.fps:.4g}", *percentile_cells(s.latency_ms), f"{s.busy:.0%}"]
            + [f"{s.batches.get(kind, 0):.2f}" for kind in ("motion", "i420")]
            for s in self.sessions
        )
        yield from markdown_table(heads, rows)

    def _network_lines(self) -> Iterator[str]:
        yield from _heading("The networks, side by side in turns (M motion, W warping, G generator)")
        heads = ("way", "network", "p50 ms", "p95 ms", "p99 ms", "of the roofline", "speedup", "PSNR dB", "ready s")
        yield from markdown_table(heads, (row for way in self.networks for row in self._way(way)))
        yield "Speedup: how many times faster the last way, the chosen backend, draws a frame."
        about = (f"not available: {way.reason}" if way.reason else f"{way.about}." for way in self.networks)
        yield from (f"{way.name}: {text}" for way, text in zip(self.networks, about, strict=True))
        yield "The roofline is for the networks as published; ways that need fewer operations can exceed 100 %."

    def _way(self, way: Measured) -> Iterator[list[str]]:
        for network, times in way.ms.items():
            whole = network == FRAME
            psnr = "same" if way.psnr_db is None else f"{way.psnr_db:.1f}"
            last = [self._gain(way), psnr, f"{way.ready_s:.1f}"] if whole else ["", "", ""]
            yield [way.name, network, *percentile_cells(times), self._share(way, network), *last]

    def _share(self, way: Measured, network: str) -> str:
        if not self.roofline:
            return ""
        floor = self.roofline.floor_ms("+".join(WORK) if network == FRAME else network, way.kind)
        return f"{floor / way.ms[network]['p50']:.0%} of {floor:.2f} ms"

    def _gain(self, way: Measured) -> str:
        backend = self.networks[-1].ms
        return f"{way.ms[FRAME]['p50'] / backend[FRAME]['p50']:.2f}x" if backend else ""


def _heading(text: str) -> tuple[str, str, str]:
    return "", f"### {text}", ""
