"""The movement of a portrait that nobody drives, as a function of time in seconds."""

from __future__ import annotations

import math

from pipeline.core.animator import Idle

BREATH_SECONDS = 4.2  # 14 breaths a minute, as of a resting adult
BLINK_SLOT_SECONDS = 4.0  # one blink in each slot, at a time that looks random
BLINK_SECONDS = 0.24


def idle(time: float, weight: float) -> Idle:
    """Return the idle movement `time` seconds after its start (none at 0), scaled by `weight` in 0..1."""
    turn = 2 * math.pi * time
    sway = (1.6 * math.sin(turn / 9.1), 0.8 * math.sin(turn / 6.7))
    return Idle(
        breath=weight * math.sin(turn / BREATH_SECONDS),
        blink=weight * _blink(time),
        sway=(weight * sway[0], weight * sway[1]),
    )


def _blink(time: float) -> float:
    slot, since = divmod(time, BLINK_SLOT_SECONDS)
    # Multiples of the golden ratio spread evenly without a visible rhythm, and need no state.
    start = 0.5 + (slot * 0.6180339887) % 1.0 * (BLINK_SLOT_SECONDS - 0.5 - BLINK_SECONDS)
    phase = (since - start) / BLINK_SECONDS
    return 0.5 - 0.5 * math.cos(2 * math.pi * phase) if 0 <= phase <= 1 else 0.0
