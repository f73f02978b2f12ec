"""What a page measured of the pictures that it showed. It may send anything, so every number is checked."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MOST_LATENCIES = 300  # in one report
LONGEST_LATENCY = 60_000  # ms

Latency = Annotated[float, Field(ge=0, le=LONGEST_LATENCY)]
Number = Annotated[float, Field(ge=0, le=1e12, description="a number from 0 to 1e12")]
Count = Annotated[int, Field(ge=0, le=10**12, description="a whole number from 0 to 1e12")]


class PageReport(BaseModel):
    """Measurements since the report before (`latencies`), since the session's start (`freezes`, `dropped`), or now."""

    model_config = ConfigDict(strict=True, frozen=True)

    latencies: tuple[Latency, ...] = Field(
        (),
        max_length=MOST_LATENCIES,
        description=f"a list of at most {MOST_LATENCIES} numbers from 0 to {LONGEST_LATENCY}, in milliseconds",
    )  # from glass to glass, of each new picture
    fps: Number = 0.0  # pictures shown per second
    freezes: Count = 0  # pictures shown for longer than three intervals
    dropped: Count = 0  # pictures that came and were not shown
    up: Number = 0.0  # bit/s of the camera's video
    down: Number = 0.0  # bit/s of the puppet's video
    voice: float = Field(0.0, ge=0, le=1000, description="a number of milliseconds from 0 to 1000")
    """By how much the page plays the voice later than it shows the pictures that came with it; 0: there is no voice."""
