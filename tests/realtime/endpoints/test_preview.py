"""Keys, what is drawn, a real window where there is a display, and a sentence where there is none."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from pipeline.imaging.i420 import to_picture, to_planes
from realtime.endpoints.output import ShownPicture
from realtime.endpoints.preview import NoDisplay, Preview
from realtime.endpoints.preview_window import HEIGHT, HINTS, KEYS, LINE, Sheet, action_of, drawn
from tests.support.clips import gradient

PLANES = to_planes(gradient(HEIGHT, HEIGHT, 90))
FLAT = to_planes(np.full((HEIGHT, HEIGHT, 3), 90, np.uint8))


@pytest.mark.parametrize(
    ("key", "action"),
    [
        ("c", "calibrate"),
        ("C", "calibrate"),
        ("n", "next portrait"),
        (" ", "pause"),
        ("m", "mirror"),
        ("O", "overlay"),
        ("q", "quit"),
        ("\x1b", "quit"),
        ("x", None),
    ],
)
def test_keys(key, action):
    assert action_of(ord(key)) == action


def test_no_key_and_keys_with_modifiers():
    assert action_of(-1) is None
    assert action_of(0x100000 | ord("c")) == "calibrate"  # with Num Lock, in GTK


def test_the_hints_name_a_key_for_every_action():
    spoken = " ".join(HINTS).lower()
    assert all(action in spoken for action in set(KEYS.values()) - {"overlay"}) and "o hide" in spoken


def test_a_picture_is_drawn_as_it_is_or_as_in_a_mirror():
    rgb = drawn(PLANES, False, ())[..., ::-1]
    assert np.abs(rgb.astype(int) - to_picture(PLANES)).max() <= 2
    assert np.abs(drawn(PLANES, True, ())[:, ::-1].astype(int) - drawn(PLANES, False, ())).max() <= 2


def test_lines_are_readable_in_a_mirror():
    written = drawn(FLAT, True, ["30 fps", "Paused"])
    assert np.array_equal(written, drawn(FLAT, False, ["30 fps", "Paused"]))
    assert written[:LINE].max() > 200 and written[LINE : 2 * LINE].max() > 200  # white on dark
    assert np.median(written[:LINE]) == 30 and (written[2 * LINE :] == 90).all()


def test_a_small_picture_is_enlarged_for_its_letters():
    assert drawn(to_planes(gradient(256, 128, 0)), False, ()).shape == (HEIGHT, 2 * HEIGHT, 3)


def test_sheets_go_through_a_pipe():
    pipe = io.BytesIO()
    for sheet in (Sheet(PLANES, ("30 fps", "Grüße\n")), Sheet(FLAT[:, ::2], ())):
        sheet.write(pipe)
    data = pipe.getvalue()
    pipe = io.BytesIO(data)
    first, second = Sheet.read(pipe), Sheet.read(pipe)
    assert np.array_equal(first.planes, PLANES) and first.lines == ["30 fps", "Grüße\n"]
    assert np.array_equal(second.planes, FLAT[:, ::2]) and second.lines == []
    assert Sheet.read(pipe) is None
    assert Sheet.read(io.BytesIO(data[:1000])) is None  # whoever wrote it ended in the middle


def test_the_window_does_not_load_pyav():
    code = "import realtime.endpoints.preview_window, sys; print('av' in sys.modules, 'aiortc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a display")
def test_without_a_display_there_is_a_sentence(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    before = threading.active_count()
    with pytest.raises(NoDisplay, match=r"needs a display, and there is none .*--virtual-camera or --record FILE"):
        Preview()
    assert threading.active_count() == before


@pytest.mark.skipif("DISPLAY" not in os.environ, reason="there is no display here")
def test_the_window_is_open_until_it_ends():
    before, preview, ended, looks = threading.active_count(), Preview(), threading.Event(), []

    def status() -> tuple[str, ...]:
        looks.append(preview.report())
        preview.show(ShownPicture(PLANES, 0.0, None))
        if len(looks) == 2:
            ended.set()
        return ("30 fps",)

    preview.run(lambda action: None, status, ended)
    assert looks == [True, True]
    asyncio.run(preview.close())
    assert preview.report() is False and threading.active_count() == before
