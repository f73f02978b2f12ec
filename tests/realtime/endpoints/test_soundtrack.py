"""A voice as one line of samples."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.endpoints.soundtrack import JITTER, RATE, Soundtrack, shift
from tests.support.films import FRAME, piece


def line(*pieces: tuple[float, float]) -> np.ndarray:
    """(level, seconds) each, as the left ear hears them."""
    track = Soundtrack()
    parts = [track.add(piece(level), seconds) for level, seconds in pieces]
    assert track.position == sum(part.shape[1] for part in parts)
    return np.concatenate(parts, 1)[0]


@pytest.mark.parametrize(
    ("position", "wanted", "expected"),
    [(0, 0, 0), (100, 150, 0), (100, 51, 0), (100, 151, 51), (100, 49, -51), (0, -5, 0)],
)
def test_shift(position, wanted, expected):
    assert shift(position, wanted, 50) == expected


def test_pieces_follow_each_other_however_their_times_tremble():
    heard = line((0.25, 0.0), (0.5, 0.031), (0.75, 0.029))
    assert np.array_equal(heard, np.repeat([0.25, 0.5, 0.75], FRAME))


def test_a_gap_is_silence_to_the_sample():
    heard = line((0.25, 0.0), (0.5, 0.1))
    assert np.array_equal(heard, np.repeat([0.25, 0, 0, 0, 0, 0.5], FRAME))


def test_the_first_piece_begins_to_the_sample():
    assert np.array_equal(line((0.5, 0.01)), np.repeat([0, 0.5], [FRAME // 2, FRAME]))
    assert np.array_equal(line((0.5, -0.01)), np.repeat([0.5], FRAME // 2))  # before the first picture
    assert line((0.5, -0.5)).size == 0


def test_what_comes_too_late_is_left_out():
    track = Soundtrack()
    assert track.until(0.5).shape == (2, RATE // 2) and not track.until(0.5).size
    assert track.add(piece(0.5), 0.49).shape[1] == RATE // 100
    assert track.add(piece(0.5), 0.2).shape[1] == 0
    assert track.position == RATE // 2 + RATE // 100


def test_a_drifting_clock_is_followed():
    track = Soundtrack()
    for n in range(3000):  # a minute of a microphone that is 0.1 % fast: 60 ms
        track.add(piece(0.1), n / 50 * 0.999)
        assert abs(track.position - (n / 50 * 0.999 * RATE + FRAME)) <= JITTER


@pytest.mark.parametrize(("layout", "rate", "level"), [("mono", 48000, 0.5**1.5), ("stereo", 16000, 0.5)])
def test_other_forms_of_sound(layout, rate, level):
    """One channel becomes two of the same power together."""
    track = Soundtrack()
    parts = [track.add(piece(0.5, rate // 50, layout, rate), n / 50) for n in range(50)]
    heard = np.concatenate(parts, 1)
    assert heard.shape[1] == pytest.approx(RATE, abs=FRAME)
    assert np.allclose(heard[:, RATE // 2 : RATE // 2 + 100], level, atol=0.01)
