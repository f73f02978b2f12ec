"""The real application around a fake animator, for the tests of web/."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.testclient import TestClient

from pipeline.core.animator import Picture, Portrait
from pipeline.core.options import AnimateOptions
from pipeline.core.registry import Loaded
from pipeline.imaging.source_picture import Unsuitable
from tests.support.fakes import LOOPBACK, FakeAnimator, FakeTracker
from web.app import create_app
from web.core.requests import MAX_TEXT
from web.core.settings import Settings
from web.services.engine import Engine
from web.services.portraits import Portraits

URL = "http://127.0.0.1:7860"
SDP = {"content-type": "application/sdp"}
BAD_OFFERS = [
    ("", SDP, 400),
    ("hello", SDP, 400),
    ("v=0\r\n", SDP, 400),
    (b"\xff\xfe\x00", SDP, 400),
    ("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n", SDP, 400),
    ("v=0", {"content-type": "text/plain"}, 415),
    ("v=0", {}, 415),
    ("{}", {"content-type": "application/json"}, 415),
    ("v" * (MAX_TEXT + 1), SDP, 413),
]
"""(body, headers, status): offers that every endpoint must refuse."""


class PickyAnimator(FakeAnimator):
    """Refuses black pictures for having no face, and warns about white ones."""

    supports = frozenset(AnimateOptions.__dataclass_fields__)

    def prepare(self, picture: Picture) -> Portrait:
        if not picture.any():
            raise Unsuitable("No face was found in the portrait; choose another.")
        portrait = super().prepare(picture)
        warnings = ("It is very white.",) if picture.min() == 255 else ()
        return Portrait(portrait.key, picture, portrait.face, warnings)


def picture_file(level: int, suffix: str = ".png", side: int = 8) -> bytes:
    """Return the bytes of a gray picture file."""
    return cv2.imencode(suffix, np.full((side, side, 3), level, np.uint8))[1].tobytes()


def make_engine() -> Engine:
    animator = PickyAnimator()
    portraits = Portraits(animator, {"gray": picture_file(90), "light": picture_file(200)})
    return Engine(Loaded(animator, "a test asked for it", "cpu"), FakeTracker, portraits)


def application(settings: Settings, engine: Engine, with_panel: bool = False) -> FastAPI:
    """Create the application; without its panel, which takes long to build, "/" is an empty page."""
    if with_panel:
        return create_app(settings, engine)
    with patch("web.panel.mount", lambda app, *_: app.add_api_route("/", lambda: HTMLResponse(""))):
        return create_app(settings, engine)


@contextmanager
def client(with_panel: bool = False, **settings: Any) -> Iterator[TestClient]:
    """Start the application and yield a client of it."""
    app = application(Settings(media=LOOPBACK, **settings), make_engine(), with_panel)
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as opened:
        yield opened
