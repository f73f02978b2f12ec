from __future__ import annotations

import av
import numpy as np
import pytest

from pipeline.core.options import AnimateOptions
from pipeline.files.animate import Player, animate, read_source
from pipeline.files.video import VideoError, VideoReader
from pipeline.imaging.source_picture import NotAPicture, PortraitError
from tests.support.clips import damage, write_clip
from tests.support.fakes import AT_REST, FakeAnimator, FakeTracker, number_of, numbered, portrait


class Tracker(FakeTracker):
    def reset(self) -> None: ...


def player(work=lambda cue: None):
    return Player(FakeAnimator(work), Tracker(), portrait(), AnimateOptions())


def clip(path, numbers, times=(), **options):
    return write_clip(path, [numbered(number) for number in numbers], times, **options)


def numbers(path):
    with VideoReader(path) as video:
        return [(round(frame.time, 3), number_of(frame.picture)) for frame in video]


def run(driving, output, work=lambda cue: None):
    calls = []
    report = animate(player(work), driving, output, lambda done, total: calls.append((done, total)))
    return report, calls


def test_every_frame_keeps_its_time_and_the_sound_is_there(tmp_path):
    driving = clip(tmp_path / "d.mp4", range(1, 11), audio="aac")
    report, calls = run(driving, tmp_path / "o.mp4")
    assert numbers(tmp_path / "o.mp4") == [(round(0.04 * i, 3), i + 1) for i in range(10)]
    assert (report.frames, report.lost, report.skipped, report.warnings) == (10, 0, 0, ())
    assert set(report.stages_ms) == {"decode", "track", "motion", "animate", "total", "encode"}
    assert calls == [(i, 10) for i in range(1, 11)]
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert container.metadata["comment"].startswith("AI-generated")


def test_variable_frame_rate(tmp_path):
    times = [0, 30, 100, 110, 500]
    run(clip(tmp_path / "d.mkv", range(1, 6), times), tmp_path / "o.mkv")
    assert numbers(tmp_path / "o.mkv") == [(time / 1000, i + 1) for i, time in enumerate(times)]


def test_a_single_frame(tmp_path):
    report, _ = run(clip(tmp_path / "d.mp4", [7]), tmp_path / "o.mp4")
    assert numbers(tmp_path / "o.mp4") == [(0, 7)] and report.frames == 1


def test_frames_without_a_face_are_counted_and_the_portrait_rests(tmp_path):
    driving = clip(tmp_path / "d.mp4", [AT_REST] * 5 + [9] * 5 + [AT_REST] * 25)
    report, _ = run(driving, tmp_path / "o.mp4")
    shown = [number for _, number in numbers(tmp_path / "o.mp4")]
    assert shown[:5] == [AT_REST] * 5 and shown[9] == 9 and shown[-1] == AT_REST
    assert report.lost == 30
    assert report.warnings == ("30 of 35 frames show no face; the portrait is at rest there.",)


def test_the_neutral_is_settled_before_the_first_frame(tmp_path):
    references = []
    run(clip(tmp_path / "d.mp4", range(1, 80)), tmp_path / "o.mp4", lambda cue: references.append(cue.reference))
    assert references[0] is not None
    assert all(np.array_equal(reference.shape, references[0].shape) for reference in references)


def test_each_frame_comes_with_its_time_and_the_motion_before_it(tmp_path, monkeypatch):
    seen = []
    read = FakeAnimator.read_motion
    monkeypatch.setattr(FakeAnimator, "read_motion", lambda self, frames: seen.extend(frames) or read(self, frames))
    run(clip(tmp_path / "d.mp4", [3, AT_REST, 5]), tmp_path / "o.mp4")
    before = [frame.previous and round(frame.previous.face.score * 255) for frame in seen]
    assert before == [None, 3, 3] * 2  # the rehearsal, then the play
    assert [round(frame.time, 3) for frame in seen] == [0.0, 0.04, 0.08] * 2


def test_no_face_at_all(tmp_path):
    driving = clip(tmp_path / "d.mp4", [AT_REST] * 5)
    with pytest.raises(VideoError, match=r"No face was found in .*d\.mp4; choose a video that shows one"):
        run(driving, tmp_path / "o.mp4")
    assert list(tmp_path.iterdir()) == [driving]


def test_interrupted_leaves_nothing(tmp_path):
    driving = clip(tmp_path / "d.mp4", range(1, 11))

    def interrupt(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        animate(player(), driving, tmp_path / "o.mp4", interrupt)
    assert list(tmp_path.iterdir()) == [driving]


def test_the_driving_video_may_be_replaced(tmp_path):
    path = clip(tmp_path / "d.mp4", range(1, 11), audio="aac")
    run(path, path)
    assert [number for _, number in numbers(path)] == list(range(1, 11))


def test_damaged_packets_are_reported(tmp_path):
    driving = clip(tmp_path / "d.avi", [9] * 50, codec="mjpeg", pixels="yuvj420p")
    damage(driving, 0.3, 0.5)
    report, _ = run(driving, tmp_path / "o.mp4")
    assert report.skipped > 0 and f"{report.skipped} damaged packets" in report.warnings[-1]
    assert report.frames == len(numbers(tmp_path / "o.mp4"))


def test_read_source(tmp_path):
    with pytest.raises(PortraitError, match=r"none\.jpg cannot be read"):
        read_source(tmp_path / "none.jpg")
    (tmp_path / "a.jpg").write_bytes(b"text")
    with pytest.raises(NotAPicture):
        read_source(tmp_path / "a.jpg")
