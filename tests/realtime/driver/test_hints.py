import numpy as np
import pytest

from realtime.driver.hints import hint
from tests.support.faces import make_face

ROOM = np.full((512, 512, 3), 110, np.uint8)


@pytest.mark.parametrize(
    ("face", "faces", "expected"),
    [
        (make_face(), 1, None),
        (make_face(), 2, "several"),
        (make_face(x=230), 1, "border"),
        (make_face(x=-230), 1, "border"),
        (make_face(y=200), 1, "border"),
        (make_face(y=-200), 1, "border"),
        (make_face(scale=2.5), 1, "far"),
        (None, 0, None),
    ],
)
def test_what_is_said(face, faces, expected):
    assert hint(ROOM, face, faces) == expected


def test_darkness_is_said_first_and_without_a_face():
    assert hint(ROOM // 5, make_face(x=230), 2) == hint(ROOM // 5, None, 0) == "dark"
