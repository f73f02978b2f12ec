"""Compare every network, and the picture at the end, in 16 bits with float32."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.imaging.image_quality import psnr
from pipeline.liveportrait import keypoint_motion
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.corrections import stitch
from pipeline.liveportrait.keypoint_motion import KeypointMotion


@dataclass(frozen=True)
class PrecisionError:
    """The distance of one result from float32's."""

    result: str
    largest: float  # difference
    mean: float
    span: float  # float32's largest value
    psnr: float | None  # dB, with the span as the peak; None if the results are equal

    def cells(self) -> list[str]:
        """Return the row of a table."""
        quality = "same" if self.psnr is None else f"{self.psnr:.1f}"
        return [self.result, f"{self.largest:.2g}", f"{self.mean:.2g}", f"{self.span:.3g}", quality]


@dataclass(frozen=True, eq=False)
class _Stages:
    """The results of one picture, stage by stage; each stage reads the one before."""

    feature: Tensor
    source: Tensor  # keypoints
    driven: Tensor
    motion: KeypointMotion
    warped: Tensor
    deformation: Tensor
    picture: Tensor


@torch.inference_mode()
def precision_errors(networks: Networks, source: Tensor, driving: Tensor, dtype: torch.dtype) -> list[PrecisionError]:
    """Compare `dtype` with float32, for float32 `networks` and two pictures (1, 3, 256, 256) in 0..1.

    Each network reads the input that float32 gave it; the last row is the picture after all, motion in float32.
    """
    exact = _run(networks, source, driving)
    return list(_errors(networks, exact, source.to(dtype), driving.to(dtype)))


def _run(networks: Networks, source: Tensor, driving: Tensor) -> _Stages:
    still, moved = (keypoint_motion.decode(networks.motion(picture)) for picture in (source, driving))
    x_s = still.transformed()
    x_d = stitch(networks.stitching, x_s.cpu(), moved.transformed().cpu()).to(x_s)
    feature = networks.appearance(source)
    warped = networks.warping(feature, x_d, x_s)
    return _Stages(feature, x_s, x_d, moved, warped.feature, warped.deformation, networks.generator(warped.feature))


def _errors(networks: Networks, exact: _Stages, source: Tensor, driving: Tensor) -> Iterator[PrecisionError]:
    dtype = source.dtype
    moved = keypoint_motion.decode(_as(networks.motion, dtype)(driving))
    yield _error("motion extractor: keypoints", moved.transformed(), exact.motion.transformed())
    yield _error("motion extractor: rotation", moved.rotation, exact.motion.rotation)
    feature = _as(networks.appearance, dtype)(source)
    yield _error("appearance extractor", feature, exact.feature)
    warping, generator = _as(networks.warping, dtype), _as(networks.generator, dtype)
    warped = warping(exact.feature.to(dtype), exact.driven, exact.source)
    yield _error("warping: deformation", warped.deformation, exact.deformation)
    yield _error("warping: feature", warped.feature, exact.warped)
    yield _error("generator: picture", generator(exact.warped.to(dtype)), exact.picture)
    yield _error("all: picture", generator(warping(feature, exact.driven, exact.source).feature), exact.picture)


def _as(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    return copy.deepcopy(network).to(dtype)


def _error(name: str, found: Tensor, exact: Tensor) -> PrecisionError:
    difference, span = (found.float() - exact).abs(), exact.abs().max()
    quality = psnr(found.float().cpu(), exact.cpu(), peak=span.item())
    return PrecisionError(name, difference.max().item(), difference.mean().item(), span.item(), quality)
