"""Reading untrusted pictures, and choosing the face."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from pipeline.imaging import source_picture
from pipeline.imaging.source_picture import NotAPicture, TooLarge, Unsuitable, choose_face, read_picture
from tests.support.faces import make_face

RED_LEFT = np.zeros((20, 40, 3), np.uint8)
RED_LEFT[:, :20, 0] = 255


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_formats_come_back_exactly(form):
    assert (read_picture(encoded(Image.fromarray(RED_LEFT), form)) == RED_LEFT).all()


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_lossy_formats_come_back_nearly(form):
    picture = read_picture(encoded(Image.fromarray(RED_LEFT), form, quality=95))
    assert picture.shape == (20, 40, 3)
    assert picture.dtype == np.uint8
    assert np.abs(picture[:, 4:16].astype(int) - (255, 0, 0)).max() < 12


def test_exif_orientation_is_obeyed():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    picture = read_picture(encoded(Image.fromarray(RED_LEFT), "JPEG", exif=exif, quality=95))
    assert picture.shape == (40, 20, 3)
    assert picture[:16, :, 0].min() > 200
    assert picture[24:, :, 0].max() < 50


def test_transparency_becomes_white():
    rgba = np.dstack([RED_LEFT, np.zeros((20, 40), np.uint8)])
    assert (read_picture(encoded(Image.fromarray(rgba))) == 255).all()


def test_gray_palette_and_deep_gray():
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (read_picture(encoded(Image.fromarray(gray))) == gray[..., None]).all()
    deep = gray.astype(np.uint16) * 257
    assert (read_picture(encoded(Image.fromarray(deep))) == gray[..., None]).all()
    palette = Image.fromarray(RED_LEFT).convert("P")
    assert (read_picture(encoded(palette)) == RED_LEFT).all()


def test_animation_gives_its_first_frame():
    frames = [Image.fromarray(np.full((8, 8, 3), shade, np.uint8)) for shade in (10, 200)]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert (read_picture(data) == 10).all()


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff", encoded(Image.fromarray(RED_LEFT))[:60], b"%PDF-1.7"])
def test_what_is_not_a_picture(data):
    with pytest.raises(NotAPicture, match="choose a JPEG, PNG"):
        read_picture(data)


def test_truncated_jpeg_is_refused():
    data = encoded(Image.fromarray(np.tile(RED_LEFT, (8, 8, 1))), "JPEG")
    with pytest.raises(NotAPicture, match="damaged"):
        read_picture(data[: len(data) // 2])


def test_too_many_bytes():
    with pytest.raises(TooLarge, match=r"20\.0 MB; choose one of at most 20 MB"):
        read_picture(bytes(source_picture.MAX_BYTES + 1))


@pytest.mark.parametrize("size", [(7072, 7072), (30000, 30000)])
def test_too_many_pixels_are_refused_before_decoding(size):
    header = encoded(Image.new("1", size))  # a few kB that would decode to much more
    with pytest.raises(TooLarge, match="million pixels"):
        read_picture(header)


def test_large_pictures_are_reduced():
    assert read_picture(encoded(Image.new("L", (5000, 2500)))).shape == (2048, 4096, 3)


def test_builtin_portraits_can_be_read():
    for path in source_picture.BUILTIN.values():
        assert read_picture(path.read_bytes()).shape[2] == 3
    assert read_picture(source_picture.default_portrait()).shape == (512, 512, 3)


CANVAS = np.zeros((512, 512, 3), np.uint8)


def test_no_face():
    with pytest.raises(Unsuitable, match=r"No face was found .* animals"):
        choose_face(CANVAS, [])


def test_a_good_face_has_no_warnings():
    face = make_face()
    assert choose_face(CANVAS, [face]) == (face, ())


@pytest.mark.parametrize(("x", "where"), [(-120, "on the left"), (0, "in the middle"), (120, "on the right")])
def test_several_faces_tell_which_one(x, where):
    faces = [make_face(x=x), make_face(scale=8)]
    face, warnings = choose_face(CANVAS, faces)
    assert face is faces[0]
    assert warnings == (f"There are 2 faces in the portrait; the largest, {where}, is animated.",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale": 5}, "only 88 pixels tall"),
        ({"yaw": 30}, "turned 30 degrees aside"),
        ({"pitch": 30}, "tilted far"),
        ({"blink": 1}, "eyes are closed"),
        ({"jaw": 1.5}, "mouth is open"),
        ({"x": 180}, "cut off"),
    ],
)
def test_doubts_are_told(change, words):
    _, warnings = choose_face(CANVAS, [make_face(**change)])
    assert any(words in sentence for sentence in warnings)


def test_errors_are_portrait_errors():
    for kind in (NotAPicture, TooLarge, Unsuitable):
        assert issubclass(kind, source_picture.PortraitError)
    assert dataclasses.is_dataclass(make_face())
