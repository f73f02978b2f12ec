"""The time code: what it writes it reads, codecs do not change it, and damage is found and never misread."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import av
import numpy as np
import pytest

from pipeline.core.animator import Cue, DrivingFrame, Planes
from pipeline.imaging.i420 import to_picture, to_planes
from realtime.bench.timecode import CodeCarrier, from_cells, luma, read, to_cells, write
from realtime.core.frame import decoded
from realtime.webrtc.codec import CODECS, MINIMUM_BITRATE, CodecName, new_encoder
from tests.support.fakes import FACE, FakeAnimator, numbered, portrait

NUMBERS = (0, 1, 0x5555, 0xAAAA, 0xFFFF, 40_000)
DECODERS = {"H264": "h264", "VP8": "vp8"}


def noise(height: int, width: int, seed: int = 0) -> Planes:
    """The hardest picture for a codec."""
    return to_planes(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    ("height", "width"), [(480, 640), (512, 512), (128, 128), (1024, 1024), (720, 1280), (90, 110)]
)
def test_what_is_written_is_read(number, height, width):
    planes = noise(height, width)
    write(planes, number)
    assert read(planes) == number


def test_only_the_top_sixteenth_is_written():
    before = noise(512, 512)
    after = before.copy()
    write(after, 7)
    assert (to_picture(before)[32:] == to_picture(after)[32:]).all()
    assert (to_picture(after)[:32].std(axis=-1) == 0).all()  # gray


def test_every_damage_of_up_to_three_cells_is_found():
    cells = to_cells(0x1234)
    assert from_cells(cells) == 0x1234
    for count in (1, 2, 3):
        for damaged in itertools.combinations(range(32), count):
            wrong = cells.copy()
            wrong.reshape(-1)[list(damaged)] ^= True
            assert from_cells(wrong) is None


def test_pictures_without_a_code_are_not_read():
    assert from_cells(np.zeros((2, 16), bool)) is None and from_cells(np.ones((2, 16), bool)) is None
    assert [read(noise(512, 512, seed)) for seed in range(20)] == [None] * 20


def through(codec: CodecName, pictures: Iterator[Planes]) -> Iterator[Planes]:
    """What a receiver gets of pictures at the lowest bitrate that is used."""
    encoder, decoder = new_encoder(codec), av.CodecContext.create(DECODERS[codec], "r")
    for index, planes in enumerate(pictures):
        packet = encoder.encode(planes, index * 3000, MINIMUM_BITRATE, keyframe=False)
        for video in decoder.decode(av.Packet(bytes(packet))):
            _, came = decoded(video)
            assert came is not None
            yield came


@pytest.mark.parametrize("codec", CODECS)
def test_the_code_survives_the_codec_at_the_lowest_bitrate(codec, astronaut):
    """On a picture that moves all over, so that the bitrate is far too low for it."""

    def moving() -> Iterator[Planes]:
        for number in range(45):
            planes = to_planes(np.roll(astronaut, (7 * number, 11 * number), (0, 1)))
            write(planes, (number * 1459) % 65536)
            yield planes

    came = list(through(codec, moving()))
    assert [read(planes) for planes in came[:-1]] == [(number * 1459) % 65536 for number in range(len(came) - 1)]
    assert len(came) >= 44


class Echo(FakeAnimator):
    """Shows the same picture always, and keeps it."""

    planes = to_planes(numbered(0))

    def animate(self, cues, layout="rgb"):
        return [self.planes if layout == "i420" else numbered(0) for _ in cues]


def driving(number: int | None, time: float) -> DrivingFrame:
    planes = noise(480, 640)
    if number is not None:
        write(planes, number)
    return DrivingFrame(to_picture(planes), FACE, time)


def test_a_picture_carries_the_code_of_the_frame_whose_motion_it_shows():
    carrier = CodeCarrier(Echo())
    first, second, bare = carrier.read_motion([driving(5, 1.0), driving(6, 2.0), driving(None, 3.0)])
    assert carrier.seen == {1.0: 5, 2.0: 6, 3.0: None}
    cues = [Cue(portrait(), None, motion, blend=1.0) for motion in (second, first, bare, None)]
    assert [read(planes) for planes in carrier.animate(cues, "i420")] == [6, 5, None, None]


def test_the_animators_own_picture_is_left_as_it_was():
    carrier = CodeCarrier(Echo())
    before = Echo.planes.copy()
    [motion] = carrier.read_motion([driving(5, 1.0)])
    carrier.animate([Cue(portrait(), None, motion)], "i420")
    assert (Echo.planes == before).all()
    assert (carrier.animate([Cue(portrait(), None, motion)], "rgb")[0] == numbered(0)).all()


def test_luma_is_a_view_of_the_planes():
    planes = noise(64, 64)
    luma(planes)[:] = 9
    assert planes[:64].min() == planes[:64].max() == 9
