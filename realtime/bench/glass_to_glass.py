"""Compute glass-to-glass latency from the records of client and server: percentiles, stages, drift, drops, freezes.

The client numbers its camera's frames (`timecode`) and notes when it drew each; the pictures that come back carry the
numbers. Latency and drift use the client's clock alone. Only the split into stages needs the server's clock, which is
the client's plus an offset (`clock_offset`).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pipeline.core.timing import percentiles
from realtime.bench.clock_offset import Exchange, Offset, estimate_offset
from realtime.bench.timecode import NUMBERS
from realtime.core.frame import Trace

SERVER_STAGES = ("decode", "wait", "track", "motion", "animate", "encode")
STAGES = ("camera+encode", "uplink", *SERVER_STAGES, "downlink", "jitter buffer", "decode+present")
OLDEST = 60.0  # seconds: an older number was misread
FREEZE_INTERVALS = 3
CLOCK_METHOD = (
    "Glass to glass, drift and freezes use the client's clock alone. Only stages that cross the network need the "
    "server's clock. Its offset is the middle of the bounds from {} exchanges over HTTP, exact to ±{:.2f} ms; an error "
    "adds to one way and is missing from the other."
)
AGE_STEP = 0.005  # seconds between looks at the screen


class LatencyError(RuntimeError):
    """Nothing could be measured; the text says why and what to do."""


@dataclass(frozen=True)
class PresentedPicture:
    """A picture on the client's screen; times are seconds of its clock."""

    number: int | None  # None if the code was damaged or missing
    presented: float
    received: float  # when its last packet had arrived
    buffered: float  # how long the jitter buffer held it
    decoding: float  # time to decode it and to present it, without the wait between the two


@dataclass(frozen=True)
class Recording:
    """The client's record. Frames drawn from `start` to `end` are measured; some of them are shown later."""

    client: str  # its name and version
    first_picture: float  # seconds from the offer to the first picture
    start: float
    end: float
    drawn: Sequence[float]  # when each of the camera's frames was drawn; the first one has number 0
    shown: Sequence[PresentedPicture]
    exchanges: Sequence[Exchange]
    bitrate: Mapping[str, float]  # bit/s in the window, "up" and "down"

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Recording:
        """Return the recording in a client's JSON. Raise LatencyError if it is malformed."""
        try:
            found = cls(
                client=str(content["client"]),
                first_picture=float(content["first_picture"]),
                start=float(content["start"]),
                end=float(content["end"]),
                drawn=[float(time) for time in content["drawn"]],
                shown=[PresentedPicture(*entry) for entry in content["shown"]],
                exchanges=[Exchange(*entry) for entry in content["exchanges"]],
                bitrate={way: float(content["bitrate"][way]) for way in ("up", "down")},
            )
            if not found.exchanges:
                raise ValueError("the clocks were not compared")
        except (KeyError, TypeError, ValueError) as error:
            raise LatencyError(f"The client sent a malformed report ({type(error).__name__}: {error}).") from error
        return found


@dataclass(frozen=True)
class ServerTrace:
    """The server's record; times are seconds of its clock."""

    epoch: float  # the time of day, in seconds since 1970, at which this clock was 0
    traces: Sequence[tuple[int | None, Trace]]  # with the number that the server read in the driving frame
    drops: Mapping[str, int]  # frames dropped in the window, by place


@dataclass(frozen=True)
class Measurement:
    """The figures, and the samples behind them for graphs."""

    figures: dict[str, Any]
    latencies: Sequence[tuple[float, float]]  # (seconds since the window's start when it was drawn, ms)
    means: Mapping[str, float]  # ms by stage, "unexplained" last; their sum is the mean latency of frames with stages


@dataclass(frozen=True)
class _Seen:
    """One of the camera's frames, when it was first on the screen."""

    index: int
    drawn: float
    shown: PresentedPicture

    @property
    def latency(self) -> float:
        return self.shown.presented - self.drawn


def summary(samples: Iterable[float]) -> dict[str, float | None]:
    """Return {"p50", "p95", "p99", "max"} by nearest rank; None if there are no samples."""
    values = list(samples)
    if not values:
        return {"p50": None, "p95": None, "p99": None, "max": None}
    found = {**percentiles(values), "max": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


def fit_slope(times: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Return the least-squares slope of `values` over `times` and its standard error; (0, inf) below three points."""
    if len(times) < 3 or np.ptp(times) == 0:
        return 0.0, math.inf
    (slope, _), covariance = np.polyfit(times, values, 1, cov=True)
    return float(slope), math.sqrt(covariance[0, 0])


def drift(latencies: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the slope per minute of (seconds, value), with its error.

    It is fitted to the means of whole seconds: neighbouring frames are not independent, and would make the error look
    smaller than it is.
    """
    seconds: dict[int, list[float]] = {}
    for time, value in latencies:
        seconds.setdefault(int(time), []).append(value)
    slope, error = fit_slope([second + 0.5 for second in seconds], [sum(v) / len(v) for v in seconds.values()])
    return slope * 60, error * 60


def analyse(recording: Recording, served: ServerTrace, fps: float) -> Measurement:
    """Compute the figures; `fps` is the camera's. Raise LatencyError if no frame came back within the window."""
    seen = _first_seen(recording)
    if not seen:
        raise LatencyError(_nothing_seen(recording, served))
    offset = estimate_offset(recording.exchanges)
    traces = _by_index(recording, served, offset)
    known = [item for item in seen if item.index in traces]
    staged = {item.index: _stages(item, traces[item.index], offset, served.epoch) for item in known}
    latencies = [(item.drawn - recording.start, item.latency * 1000) for item in seen]
    slope, slope_error = drift(latencies)
    unexplained = [(item.latency - sum(staged[item.index].values())) * 1000 for item in known]
    figures = {
        "glass_to_glass_ms": summary(latency for _, latency in latencies),
        "server_ms": summary((traces[i].sent - traces[i].decoded) * 1000 for i in staged),
        "stages_ms": {name: summary(_column(staged.values(), name)) for name in STAGES},
        "unexplained_ms": summary(unexplained),
        "frame_age_ms": summary(_ages(recording, seen)),
        "slope_ms_per_minute": round(slope, 3),
        "slope_error": round(slope_error, 3),
        **_counts(recording, served, seen, traces),
        **_smoothness(recording, seen, fps),
        "bitrate_mbps": {way: round(bits / 1e6, 2) for way, bits in recording.bitrate.items()},
        "first_picture_ms": round(recording.first_picture * 1000),
        "clock_error_ms": round(offset.error * 1000, 3),
        "clock_method": CLOCK_METHOD.format(len(recording.exchanges), offset.error * 1000),
    }
    means = {name: _mean(_column(staged.values(), name)) for name in STAGES} | {"unexplained": _mean(unexplained)}
    return Measurement(figures, latencies, means)


def _nothing_seen(recording: Recording, served: ServerTrace) -> str:
    if not recording.shown:
        return "No picture came back from the server. `python run.py doctor` checks the machine."
    readable = sum(number is not None for number, _ in served.traces)
    if not readable:
        return f"The server read no time code in {len(served.traces)} frames. Try a higher --size or --fps."
    return f"No time code is readable in {len(recording.shown)} pictures that came back. Is a face in the picture?"


def _index(number: int, time: float, drawn: Sequence[float]) -> int | None:
    """Return which frame `number` means at `time` of the client's clock: the newest that was drawn by then."""
    last = bisect_right(drawn, time) - 1
    index = last - (last - number) % NUMBERS
    return index if index >= 0 and time - drawn[index] <= OLDEST else None


def _first_seen(recording: Recording) -> list[_Seen]:
    """Return the first picture of each frame drawn in the window, in the order of the screen."""
    found: dict[int, _Seen] = {}
    for shown in recording.shown:
        if shown.number is None:
            continue
        index = _index(shown.number, shown.presented, recording.drawn)
        if index is not None and recording.start <= recording.drawn[index] < recording.end:
            found.setdefault(index, _Seen(index, recording.drawn[index], shown))
    return list(found.values())


def _by_index(recording: Recording, served: ServerTrace, offset: Offset) -> dict[int, Trace]:
    """Return the server's traces by frame, of frames whose number it could read."""
    found = {}
    for number, trace in served.traces:
        if number is not None:
            index = _index(number, trace.decoded - offset.seconds + offset.error, recording.drawn)
            if index is not None:
                found[index] = trace
    return found


def _stages(seen: _Seen, trace: Trace, offset: Offset, epoch: float) -> dict[str, float]:
    """Return seconds by stage; without "camera+encode" and "uplink" if no packet says when it left."""
    drawn, received = seen.drawn + offset.seconds, seen.shown.received + offset.seconds
    released, uplink = trace.reception.released, trace.reception.on_the_way(epoch)
    stages = {stage: trace.spent.get(stage, 0.0) for stage in SERVER_STAGES}
    stages |= {
        "downlink": received - trace.encoded,
        "jitter buffer": seen.shown.buffered,
        "decode+present": seen.shown.decoding,
    }
    if uplink is not None and uplink <= released - drawn + offset.error:
        stages |= {"camera+encode": released - uplink - drawn, "uplink": uplink}
    return stages


def _column(stages: Iterable[Mapping[str, float]], name: str) -> list[float]:
    return [times[name] * 1000 for times in stages if name in times]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _ages(recording: Recording, seen: Sequence[_Seen]) -> list[float]:
    """Return how old the picture on the screen was, in ms, at every 5 ms of the window."""
    looks = np.arange(recording.start, recording.end, AGE_STEP)
    times = [item.shown.presented for item in seen]
    newest = np.maximum.accumulate([item.drawn for item in seen])
    last = np.searchsorted(times, looks, "right") - 1
    return [float(age) * 1000 for age in (looks - newest[last])[last >= 0]]


def _counts(
    recording: Recording, served: ServerTrace, seen: Sequence[_Seen], traces: Mapping[int, Trace]
) -> dict[str, Any]:
    first, last = (bisect_left(recording.drawn, time) for time in (recording.start, recording.end))
    animated = sum(first <= index < last for index in traces)
    sent = last - first
    lost = sum(shown.number is None and recording.start <= shown.presented < recording.end for shown in recording.shown)
    before = sent - animated - sum(served.drops.values())
    places = {"before the server": before, **served.drops, "after the server": animated - len(seen) - lost}
    return {
        "frames": {"sent": sent, "seen": len(seen), "lost": lost, "dropped": max(0, sent - len(seen) - lost)},
        "drops": {place: max(0, count) for place, count in places.items()},
    }


def _smoothness(recording: Recording, seen: Sequence[_Seen], fps: float) -> dict[str, Any]:
    times = [item.shown.presented for item in seen if item.shown.presented < recording.end]
    gaps = [later - earlier for earlier, later in pairwise([recording.start, *times, recording.end])]
    return {
        "freezes": sum(gap > FREEZE_INTERVALS / fps for gap in gaps),
        "longest_gap_ms": round(max(gaps) * 1000, 1),
        "fps": round(len(seen) / (recording.end - recording.start), 2),
    }
