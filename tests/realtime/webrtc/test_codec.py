"""Pictures to packets and back."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest

from pipeline.core.animator import Picture
from pipeline.imaging.i420 import to_planes
from realtime.core.frame import decoded, to_video_frame
from realtime.webrtc.codec import (
    CODECS,
    MAXIMUM_BITRATE,
    MINIMUM_BITRATE,
    CodecName,
    TargetBitrate,
    VideoEncoder,
    highest_bitrate,
    is_keyframe,
    new_encoder,
)

SIDE = 128
STEP = 3000
DECODERS = {"H264": "h264", "VP8": "libvpx"}


def moving(i: int, side: int = SIDE) -> Picture:
    """A picture that a codec cannot foresee: noise of its own in every frame."""
    return np.random.default_rng(i).integers(0, 255, (side, side, 3), np.uint8)


def smooth(side: int = SIDE) -> Picture:
    ramp = np.linspace(40, 200, side, dtype=np.float32)
    return np.stack(
        [np.tile(ramp, (side, 1)), np.tile(ramp[:, None], (1, side)), np.full((side, side), 120)], -1
    ).astype(np.uint8)


def spend(encoder: VideoEncoder, bitrate: int, start: int, frames: int = 30) -> tuple[float, list[Any]]:
    """Bits per second of the last half of `frames` frames at 30 fps, and all packets."""
    packets = [
        encoder.encode(to_planes(moving(i, 512)), i * STEP, bitrate, False) for i in range(start, start + frames)
    ]
    half = packets[frames // 2 :]
    return sum(packet.size for packet in half) * 8 * 30 / len(half), packets


@pytest.mark.parametrize("name", CODECS)
def test_what_is_encoded_can_be_seen(name: CodecName) -> None:
    encoder, decoder = new_encoder(name), av.CodecContext.create(DECODERS[name], "r")
    for i in range(3):
        packet = encoder.encode(to_planes(smooth()), i * STEP, MAXIMUM_BITRATE, False)
        [frame] = decoder.decode(packet)  # one for one: nothing is held back
        assert (packet.pts, frame.pts) == (i * STEP, i * STEP)
        assert np.abs(decoded(frame)[0].astype(int) - smooth()).mean() < 4


@pytest.mark.parametrize("name", CODECS)
def test_keyframes_come_first_and_when_asked_for(name: CodecName) -> None:
    encoder = new_encoder(name)
    wanted = {10, 25}
    packets = [encoder.encode(to_planes(moving(i)), i * STEP, MAXIMUM_BITRATE, i in wanted) for i in range(40)]
    assert {i for i, packet in enumerate(packets) if is_keyframe(name, bytes(packet))} == {0, *wanted}


def test_h264_changes_its_bitrate_without_a_keyframe() -> None:
    encoder = new_encoder("H264")
    rates, packets = zip(
        *(spend(encoder, rate, 30 * i) for i, rate in enumerate((3_000_000, 800_000, 3_000_000))), strict=True
    )
    assert rates[1] < 0.6 * rates[0]
    assert rates[2] > 1.5 * rates[1]
    assert sum(is_keyframe("H264", bytes(packet)) for part in packets for packet in part) == 1


def test_vp8_takes_a_large_change_of_bitrate_with_a_keyframe_and_no_small_one() -> None:
    encoder = new_encoder("VP8")
    keyframes = [
        is_keyframe("VP8", bytes(encoder.encode(to_planes(moving(i, 512)), i * STEP, bitrate, False)))
        for i, bitrate in enumerate((2_000_000, 2_400_000, 1_600_000, 1_000_000, 1_100_000))
    ]
    assert keyframes == [True, False, False, True, False]


@pytest.mark.parametrize("name", CODECS)
def test_another_size_begins_with_a_keyframe(name: CodecName) -> None:
    encoder, decoder = new_encoder(name), av.CodecContext.create(DECODERS[name], "r")
    for i, side in enumerate((128, 128, 96, 97)):
        packet = encoder.encode(to_planes(smooth(side)), i * STEP, MAXIMUM_BITRATE, False)
        [frame] = decoder.decode(packet)
        assert (frame.width, frame.height) == (side & ~1, side & ~1)
        assert is_keyframe(name, bytes(packet)) == (i in (0, 2))


@pytest.mark.parametrize("size", [(64, 48), (64, 47), (63, 48), (15, 17)])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "nv12"])
def test_frames_of_any_size_and_format_become_pictures(size: tuple[int, int], pixels: str) -> None:
    grey = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 130, np.uint8), format="rgb24").reformat(
        format=pixels
    )
    picture = decoded(grey)[0]
    assert (picture.shape, picture.dtype) == ((size[1], size[0], 3), np.uint8)
    assert np.abs(picture.astype(int) - 130).max() <= 3


def test_colours_survive_both_ways() -> None:
    picture = smooth()
    assert np.abs(decoded(to_video_frame(to_planes(picture), 0))[0].astype(int) - picture).max() <= 6


def test_bitrate_falls_at_once_and_rises_in_steps() -> None:
    target = TargetBitrate()
    assert target.bits_per_second == MAXIMUM_BITRATE
    target.on_remb(1_000_000)
    assert target.bits_per_second == 1_000_000
    target.on_remb(2_000_000)
    assert target.bits_per_second == 1_250_000
    for _ in range(60):
        target.on_remb(2_000_000)
    assert 1_999_000 < target.bits_per_second <= 2_000_000


@pytest.mark.parametrize("estimate", [0, -5, 1, 10**12])
def test_bitrate_stays_in_bounds(estimate: int) -> None:
    target = TargetBitrate()
    target.on_remb(estimate)
    assert target.bits_per_second == (MAXIMUM_BITRATE if estimate > 1 else MINIMUM_BITRATE)


def test_much_loss_lowers_the_bitrate_and_little_raises_it() -> None:
    target = TargetBitrate()
    target.on_remb(2_000_000)
    for share in (0.02, 0.1):
        target.on_loss(share)
    assert target.bits_per_second == 2_000_000
    target.on_loss(0.2)
    assert target.bits_per_second == 1_800_000
    target.on_remb(3_000_000)
    assert target.bits_per_second == 1_800_000  # the lower of the two
    target.on_loss(0.0)
    assert target.bits_per_second == 1_890_000
    for _ in range(40):
        target.on_loss(1.0)
    assert target.bits_per_second == MINIMUM_BITRATE
    for _ in range(100):
        target.on_loss(0.0)
    assert target.bits_per_second == 2_250_000  # by the estimate again


def test_a_picture_has_a_highest_bitrate() -> None:
    assert highest_bitrate(512, 512) == 3_145_728
    assert highest_bitrate(64, 64) == MINIMUM_BITRATE
    assert highest_bitrate(4096, 4096) == MAXIMUM_BITRATE
