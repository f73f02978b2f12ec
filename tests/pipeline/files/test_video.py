from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.files.video import VideoError, VideoReader, VideoWriter
from tests.support.clips import damage, gradient, write_clip

MILLISECOND = Fraction(1, 1000)


def pictures(count=5, width=64, height=48):
    return [gradient(width, height, 40 * (i % 6)) for i in range(count)]


def read(path):
    with VideoReader(path) as video:
        return list(video), video


def write(path, frames, time_base=MILLISECOND, audio_from=None):
    with VideoWriter(path, Fraction(25), time_base, "a comment", audio_from) as writer:
        for picture, pts in frames:
            writer.write(picture, pts)
    return path


def streams(path):
    with av.open(str(path)) as container:
        return [(s.type, s.codec_context.codec.canonical_name) for s in container.streams]


def audio_packets(path):
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


def test_reads_upright_rgb_at_the_files_times(tmp_path):
    originals = pictures(5)
    frames, video = read(write_clip(tmp_path / "a.mp4", originals, qp="1"))
    assert [round(frame.time, 6) for frame in frames] == [0, 0.04, 0.08, 0.12, 0.16]
    assert video.rate == 25 and video.expected_frames == 5 and video.skipped == 0
    for frame, original in zip(frames, originals, strict=True):
        assert frame.picture.shape == (48, 64, 3) and frame.picture.dtype == np.uint8
        assert np.abs(frame.picture.astype(int) - original).mean() < 4


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_in_the_file_is_applied(tmp_path, rotation):
    original = gradient(64, 48, 100)
    stored = np.rot90(original, -rotation // 90)  # what a camera held aside stores
    (frame,), _ = read(write_clip(tmp_path / "a.mp4", [np.ascontiguousarray(stored)], rotation=rotation, qp="1"))
    assert frame.picture.shape == original.shape
    assert np.abs(frame.picture.astype(int) - original).mean() < 4


def test_variable_frame_rate_is_kept(tmp_path):
    times = [0, 30, 100, 110, 500]
    frames, video = read(write_clip(tmp_path / "a.mkv", pictures(5), times))
    assert [frame.time for frame in frames] == [0, 0.03, 0.1, 0.11, 0.5]
    copy = write(tmp_path / "b.mp4", [(frame.picture, frame.pts) for frame in frames], video.time_base)
    assert [round(frame.time, 3) for frame in read(copy)[0]] == [0, 0.03, 0.1, 0.11, 0.5]


def test_gray_odd_sized_and_single_pictures(tmp_path):
    gray = np.full((35, 33), 77, np.uint8)
    (frame,), _ = read(write_clip(tmp_path / "a.mkv", [gray], codec="ffv1", pixels="gray"))
    assert np.abs(frame.picture.astype(int) - 77).max() <= 1 and frame.picture.shape == (35, 33, 3)
    (copied,), _ = read(write(tmp_path / "b.mp4", [(frame.picture, 0)]))
    assert copied.picture.shape == (36, 34, 3)  # 4:2:0 needs even sides
    assert np.abs(copied.picture.astype(int) - 77).max() <= 2


def test_pixels_that_are_not_square_become_square(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(gradient(64, 48, 0))))
        container.mux(stream.encode(None))
    (frame,), _ = read(tmp_path / "a.mkv")
    assert frame.picture.shape == (48, 96, 3)


def test_damaged_packets_are_left_out_and_counted(tmp_path):
    path = write_clip(tmp_path / "a.avi", [gradient(64, 48, i) for i in range(100)], codec="mjpeg", pixels="yuvj420p")
    damage(path, 0.3, 0.5)
    frames, video = read(path)
    assert 50 <= len(frames) < 100 and video.skipped > 0
    assert all(a.pts < b.pts for a, b in pairwise(frames))


def test_a_file_cut_off_is_read_as_far_as_it_goes(tmp_path):
    path = write_clip(tmp_path / "a.mkv", pictures(50), g="5", bf="0")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, _ = read(path)
    assert 10 < len(frames) < 50


@pytest.mark.parametrize("content", [b"", b"no video", bytes(1000)])
def test_no_video_file(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=r"a\.mp4 cannot be read as a video .*\."):
        VideoReader(tmp_path / "a.mp4")


def test_missing_file_folder_and_sound_alone(tmp_path):
    with pytest.raises(VideoError, match="There is no file"):
        VideoReader(tmp_path / "none.mp4")
    with pytest.raises(VideoError, match="cannot be read as a video"):
        VideoReader(tmp_path)
    with av.open(str(tmp_path / "a.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="contains no video"):
        VideoReader(tmp_path / "a.m4a")


def test_writes_h264_with_comment_for_streaming(tmp_path):
    path = write(tmp_path / "a.mp4", [(picture, 40 * i) for i, picture in enumerate(pictures(10))])
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == "a comment"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # faststart
    frames, video = read(path)
    assert [round(frame.time, 6) for frame in frames] == [0.04 * i for i in range(10)] and video.rate == 25
    assert list(tmp_path.iterdir()) == [path]


def test_colours_survive(tmp_path):
    colours = [(200, 30, 40), (30, 180, 60), (20, 40, 220), (128, 128, 128)]
    flat = [np.full((32, 32, 3), colour, np.uint8) for colour in colours]
    frames, _ = read(write(tmp_path / "a.mp4", [(picture, 40 * i) for i, picture in enumerate(flat)]))
    for frame, picture in zip(frames, flat, strict=True):
        assert np.abs(frame.picture.astype(int) - picture).max() <= 4


def test_sound_is_copied_where_the_output_holds_it(tmp_path):
    source = write_clip(tmp_path / "a.mp4", pictures(50), audio="aac")
    frames, video = read(source)
    copy = write(tmp_path / "b.mp4", [(f.picture, f.pts) for f in frames], video.time_base, source)
    assert streams(copy) == [("video", "h264"), ("audio", "aac")]
    assert audio_packets(copy) == audio_packets(source)


def test_sound_is_converted_where_the_output_cannot_hold_it(tmp_path):
    source = write_clip(tmp_path / "a.avi", pictures(50), codec="mjpeg", pixels="yuvj420p", audio="pcm_mulaw")
    frames, video = read(source)
    copy = write(tmp_path / "b.mp4", [(f.picture, f.pts) for f in frames], video.time_base, source)
    assert streams(copy) == [("video", "h264"), ("audio", "aac")]
    with av.open(str(copy)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert abs(len(sound) / 48000 - 2) < 0.1
    spectrum = np.abs(np.fft.rfft(sound[4800:52800]))
    assert abs(int(spectrum.argmax()) - 440) <= 1  # Hz


def test_sound_is_interleaved(tmp_path):
    """So that memory does not grow with the length, and players need not seek."""
    source = write_clip(tmp_path / "a.mp4", pictures(100), audio="aac")
    frames, video = read(source)
    copy = write(tmp_path / "b.mkv", [(f.picture, f.pts) for f in frames], video.time_base, source)
    with av.open(str(copy)) as container:
        kinds = [packet.stream.type for packet in container.demux() if packet.size]
    assert sum(a != b for a, b in pairwise(kinds)) > 50


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, Fraction(25), MILLISECOND, "") as writer:
        writer.write(gradient(64, 48, 0), 0)
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_outputs_that_cannot_be_written(tmp_path):
    with pytest.raises(VideoError, match=r"name the output \.mp4, \.m4v, \.mov, \.mkv\."):
        VideoWriter(tmp_path / "a.txt", Fraction(25), MILLISECOND, "")
    with pytest.raises(VideoError, match="does not exist; create it first"):
        VideoWriter(tmp_path / "no" / "a.mp4", Fraction(25), MILLISECOND, "")


def test_a_full_disk_is_a_sentence(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("only Linux has a device that is always full")
    (tmp_path / "a.mkv.part").symlink_to(full)
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    with (
        pytest.raises(VideoError, match=r"cannot be written .*No space left"),
        VideoWriter(tmp_path / "a.mkv", Fraction(25), MILLISECOND, "") as writer,
    ):
        for i in range(10):
            writer.write(noise, i)
    assert not (tmp_path / "a.mkv").exists()
