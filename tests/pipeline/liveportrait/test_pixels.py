"""Pictures to numbers and back on the host: the reference for pipeline/liveportrait/cuda/pixels.py."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from pipeline.imaging import badge  # noqa: E402
from pipeline.liveportrait.crop import Box  # noqa: E402
from pipeline.liveportrait.paste import Paster  # noqa: E402
from pipeline.liveportrait.pixels import CropRequest, Finish, HostPixels, NotANumber  # noqa: E402

HOST = HostPixels(torch.device("cpu"))
ALONE = Finish(None, 512, mirror=False, badge=False)


def flat(*colour):
    """A crop (1, 3, 512, 512) of one colour, 0..1."""
    return torch.tensor(colour).reshape(1, 3, 1, 1).expand(1, 3, 512, 512)


def halves():
    """A crop whose left half is black and whose right half is white."""
    crop = torch.zeros(1, 3, 512, 512)
    crop[..., 256:] = 1
    return crop


def finished(crop, finish, layout="rgb"):
    [picture] = HOST.compose(crop, [finish], layout)()
    return picture


def test_a_view_is_the_mean_of_four_pixels_of_the_crop():
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[2, 4:6], picture[3, 4:6] = (10, 20, 30), (20, 40, 60)
    views = HOST.upload_crops([CropRequest(picture, None, np.eye(3))])
    assert views.shape == (1, 3, 256, 256) and views.dtype == torch.float32
    assert views[0, :, 1, 2].tolist() == pytest.approx([15 / 255, 30 / 255, 45 / 255])
    assert views[0, :, 1, 3].tolist() == [0, 0, 0]


def test_outside_the_picture_a_view_is_black():
    [view] = HOST.upload_crops(
        [CropRequest(np.full((101, 99, 3), 255, np.uint8), None, Box(np.zeros(2), 100.0).matrix())]
    )
    assert (view[:, :125, :125] == 0).all() and (view[:, 129:, 129:] == 1).all()


def test_numbers_are_not_those_of_the_next_call():
    values = torch.arange(6.0).reshape(2, 3)
    read = HOST.download(values)
    values.zero_()
    assert read().tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_crop_alone_is_truncated():
    assert finished(flat(-0.1, 0.9999, 2.0), ALONE)[0, 0].tolist() == [0, 254, 255]


@pytest.mark.parametrize("size", [128, 255, 1024])
def test_a_crop_alone_of_another_size(size):
    picture = finished(halves(), Finish(None, size, mirror=False, badge=False))
    assert picture.shape == (size, size, 3)
    assert (picture[:, : size // 2 - 4] == 0).all() and (picture[:, size // 2 + 4 :] == 255).all()


def test_the_badge_is_drawn_last():
    plain = finished(halves(), Finish(None, 512, mirror=True, badge=False))
    marked = finished(halves(), Finish(None, 512, mirror=True, badge=True))
    assert (plain[:, :256] == 255).all() and (plain[:, 256:] == 0).all()
    badge.draw(plain)
    assert np.array_equal(marked, plain)


@pytest.mark.parametrize(("height", "width"), [(100, 120), (101, 121)])
def test_planes_are_those_of_opencv_without_an_odd_edge(height, width):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    finish = Finish(Paster(picture, np.linalg.inv(Box(np.array([60.0, 50.0]), 40.0).matrix()), "cpu"), 512, True, True)
    rgb, planes = (finished(flat(0.2, 0.4, 0.6), finish, layout) for layout in ("rgb", "i420"))
    assert rgb.shape == (height, width, 3) and planes.shape == (150, 120)
    assert np.array_equal(planes, cv2.cvtColor(rgb[:100, :120], cv2.COLOR_RGB2YUV_I420))
    assert np.array_equal(rgb[: height // 10], picture[: height // 10, ::-1])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_crop_without_numbers_is_an_error_when_it_is_asked_for(value):
    crop = flat(0.0, 0.0, 0.0).clone()
    crop[0, 2, 511, 511] = value
    read = HOST.compose(crop, [ALONE], "rgb")
    with pytest.raises(NotANumber, match=r"run\.py weights verify"):
        read()
