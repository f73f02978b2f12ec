"""Smooth motion over the frames of a source video."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

PROCESS_VARIANCE = 1e-5


def kalman_smooth(values: Tensor, observation_variance: float) -> Tensor:
    """Smooth (N, ...) over N frames, each component by itself (Rauch, Tung and Striebel, AIAA Journal 3, 1965).

    The model is a random walk with a variance of 1e-5 per frame; a larger `observation_variance` smooths more.
    """
    means, variances = [values[0].double()], [observation_variance / (1 + observation_variance)]
    for value in values[1:]:
        predicted = variances[-1] + PROCESS_VARIANCE
        gain = predicted / (predicted + observation_variance)
        means.append(means[-1] + gain * (value - means[-1]))
        variances.append((1 - gain) * predicted)
    smooth = [means.pop()]
    for mean, variance in zip(reversed(means), reversed(variances[:-1]), strict=True):
        smooth.append(mean + variance / (variance + PROCESS_VARIANCE) * (smooth[-1] - mean))
    return torch.stack(smooth[::-1]).to(values.dtype)


def one_euro_smooth(values: Tensor, min_cutoff: float = 4.0, beta: float = 0.3, rate: float = 30.0) -> Tensor:
    """Smooth (N, ...) over N frames at `rate` Hz, without looking ahead: One-Euro filter (Casiez et al., CHI 2012).

    As in FasterLivePortrait, the speed is measured between unfiltered values and low-passed at 1 Hz.
    """
    raw = values.double()
    smooth, speed = [raw[0]], torch.zeros_like(raw[0])
    for before, value in pairwise(raw):
        speed = speed + _share(torch.tensor(1.0), rate) * ((value - before) * rate - speed)
        smooth.append(smooth[-1] + _share(min_cutoff + beta * speed.abs(), rate) * (value - smooth[-1]))
    return torch.stack(smooth).to(values.dtype)


def _share(cutoff: Tensor, rate: float) -> Tensor:
    return 1 / (1 + rate / (2 * math.pi * cutoff))
