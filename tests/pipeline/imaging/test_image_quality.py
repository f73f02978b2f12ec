from __future__ import annotations

import numpy as np
import pytest

from pipeline.face.face import Face
from pipeline.imaging.image_quality import C1, C2, SIGMA, landmark_error, psnr, ssim


def flat(level):
    return np.full((32, 32, 3), level, np.uint8)


def noisy(seed):
    return np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def test_psnr_of_one_level_everywhere_and_of_nothing():
    assert psnr(flat(11), flat(10)) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(flat(0), flat(255)) == pytest.approx(0)
    assert psnr(flat(7), flat(7)) is None


def test_ssim_of_flat_pictures_is_their_light():
    assert ssim(flat(7), flat(7)) == 1
    assert ssim(flat(100), flat(120)) == pytest.approx((2 * 100 * 120 + C1) / (100**2 + 120**2 + C1))


def test_ssim_is_the_papers_formula_window_by_window():
    x, y = noisy(0).astype(float), noisy(1).astype(float)
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * SIGMA**2))[..., None]
    window /= window.sum()
    values = []
    for row in range(5, 19):
        for column in range(5, 19):
            a, b = (part[row - 5 : row + 6, column - 5 : column + 6] for part in (x, y))
            mean_a, mean_b = (window * a).sum((0, 1)), (window * b).sum((0, 1))
            var_a, var_b = (window * (a - mean_a) ** 2).sum((0, 1)), (window * (b - mean_b) ** 2).sum((0, 1))
            both = (window * (a - mean_a) * (b - mean_b)).sum((0, 1))
            light = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
            values.append(light * (2 * both + C2) / (var_a + var_b + C2))
    assert ssim(noisy(0), noisy(1)) == pytest.approx(np.mean(values), abs=1e-9)


def test_landmarks_are_compared_in_percent_of_the_eyes_distance():
    points = np.zeros((478, 3), np.float32)
    points[33, 0], points[263, 0] = 100, 150
    assert landmark_error(Face(points + np.float32([3, 4, 9]), 1.0), Face(points, 1.0)) == pytest.approx(10)
