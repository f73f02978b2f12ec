import numpy as np
import pytest

from pipeline.face.find import find_faces
from pipeline.face.tracker import FaceTracker

BLACK = np.zeros((512, 512, 3), np.uint8)


@pytest.fixture
def tracker(models):
    return FaceTracker(models)


def test_searches_once_and_holds(tracker, astronaut):
    faces = [tracker.track(np.roll(astronaut, 4 * i, 1), i / 30, 0.0) for i in range(12)]
    assert tracker.detections == 1
    x = [float(face.landmarks[4, 0]) for face in faces]
    assert x == pytest.approx([x[0] + 4 * i for i in range(12)], abs=1)


def test_agrees_with_the_still(tracker, models, astronaut):
    (still,) = find_faces(astronaut, models)
    assert tracker.track(astronaut, 0.0).landmarks == pytest.approx(still.landmarks, abs=1)


def test_loses_on_black_and_finds_again(tracker, astronaut):
    before = tracker.track(astronaut, 0.0)
    assert tracker.track(BLACK, 1 / 30) is None
    assert tracker.track(BLACK, 2 / 30) is None
    assert tracker.detections == 3
    after = tracker.track(np.roll(astronaut, 100, 1), 3 / 30)
    assert after.landmarks[4, 0] - before.landmarks[4, 0] == pytest.approx(100, abs=1)  # no memory of the old place


def test_finds_a_face_that_jumped_in_the_same_frame(tracker, astronaut):
    tracker.track(astronaut, 0.0)
    jumped = tracker.track(np.roll(astronaut, 250, 0), 1 / 30)
    assert jumped.landmarks[4, 1] == pytest.approx(126 + 250, abs=3)
    assert tracker.detections == 2


def test_loses_a_face_that_leaves_the_picture(tracker, astronaut):
    assert tracker.track(astronaut[:, 150:], 0.0) is not None
    assert tracker.track(astronaut[:, 190:], 1 / 30) is not None
    assert tracker.track(astronaut[:, 226:], 2 / 30) is None  # the nose is outside


def test_takes_the_biggest_and_keeps_it(tracker, astronaut):
    small, large = np.zeros((512, 900, 3), np.uint8), np.zeros((512, 900, 3), np.uint8)
    small[100:356, :256] = large[100:356, :256] = astronaut[::2, ::2]
    large[:, 388:] = astronaut
    assert tracker.track(large, 0.0).width == pytest.approx(92, abs=3)
    tracker.reset()
    assert tracker.track(small, 1.0).width == pytest.approx(46, abs=3)
    assert tracker.track(large, 1.1).width == pytest.approx(46, abs=3)  # a bigger newcomer does not take over


def test_smoothing_steadies(models, astronaut):
    rng = np.random.default_rng(0)
    noisy = [np.clip(astronaut + rng.normal(0, 6, astronaut.shape), 0, 255).astype(np.uint8) for _ in range(14)]

    def jitter(smoothing):
        tracker = FaceTracker(models)
        points = np.array([tracker.track(p, i / 30, smoothing).landmarks for i, p in enumerate(noisy)])
        return np.abs(np.diff(points[7:], axis=0)).mean()

    raw, middle, most = jitter(0.0), jitter(0.5), jitter(1.0)
    assert middle < raw / 2
    assert most < middle / 1.5


def test_no_smoothing_is_the_raw_reading(models, astronaut):
    smooth, raw = FaceTracker(models), FaceTracker(models)
    moved = np.roll(astronaut, 3, 1)
    for tracker in (smooth, raw):
        tracker.track(astronaut, 0.0, 0.5)
    alone = raw._mesh.read(moved, raw._region)
    assert (raw.track(moved, 1 / 30, 0.0).landmarks == alone.landmarks).all()
    assert (smooth.track(moved, 1 / 30, 0.5).landmarks != alone.landmarks).any()


@pytest.mark.parametrize("times", [(5.0, 1.0), (1.0, 1.0), (0.0, 3600.0)])
def test_time_may_go_back_stand_or_jump(tracker, astronaut, times):
    moved = np.roll(astronaut, 5, 1)
    first, second = tracker.track(astronaut, times[0]), tracker.track(moved, times[1])
    assert second.landmarks[4, 0] - first.landmarks[4, 0] == pytest.approx(5, abs=1)  # and no smoothing across


def test_size_may_change_under_way(tracker, astronaut):
    tracker.track(astronaut, 0.0)
    small = np.ascontiguousarray(astronaut[::4, ::4])
    face = tracker.track(small, 1 / 30)
    assert face is None or face.width < 40
    assert tracker.track(np.zeros((1, 1, 3), np.uint8), 2 / 30) is None
    assert tracker.track(astronaut, 3 / 30).width == pytest.approx(92, abs=3)


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (480, 640), (2160, 3840)])
def test_nothing_in_noise(tracker, shape):
    noise = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    assert tracker.track(noise, 0.0) is None


def test_gray_picture(tracker, astronaut):
    gray = np.repeat(astronaut.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    assert tracker.track(gray, 0.0).width == pytest.approx(92, abs=3)
