"""Compare every network, and the picture at the end, in 16 bits with float32."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.imaging.image_quality import psnr
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.corrections import stitch
from pipeline.liveportrait.keypoint_motion import decode


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


@torch.inference_mode()
def precision_errors(networks: Networks, source: Tensor, driving: Tensor, dtype: torch.dtype) -> list[PrecisionError]:
    """Compare `dtype` with float32, for float32 `networks` and two pictures (1, 3, 256, 256) in 0..1.

    Each network reads the input that float32 gave it; the last row is the picture after all, motion in float32.
    """
    still, moved = (decode(networks.motion(picture)) for picture in (source, driving))
    x_s = still.transformed()
    x_d = stitch(networks.stitching, x_s.cpu(), moved.transformed().cpu()).to(x_s)
    feature = networks.appearance(source)
    warped = networks.warping(feature, x_d, x_s)
    picture = networks.generator(warped.feature)

    rounded_motion = decode(_as(networks.motion, dtype)(driving.to(dtype)))
    rounded_feature = _as(networks.appearance, dtype)(source.to(dtype))
    warping, generator = _as(networks.warping, dtype), _as(networks.generator, dtype)
    rounded = warping(feature.to(dtype), x_d, x_s)
    return [
        _error("motion extractor: keypoints", rounded_motion.transformed(), moved.transformed()),
        _error("motion extractor: rotation", rounded_motion.rotation, moved.rotation),
        _error("appearance extractor", rounded_feature, feature),
        _error("warping: deformation", rounded.deformation, warped.deformation),
        _error("warping: feature", rounded.feature, warped.feature),
        _error("generator: picture", generator(warped.feature.to(dtype)), picture),
        _error("all: picture", generator(warping(rounded_feature, x_d, x_s).feature), picture),
    ]


def _as(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    return copy.deepcopy(network).to(dtype)


def _error(name: str, found: Tensor, exact: Tensor) -> PrecisionError:
    difference, span = (found.float() - exact).abs(), exact.abs().max()
    quality = psnr(found.float().cpu(), exact.cpu(), peak=span.item())
    return PrecisionError(name, difference.max().item(), difference.mean().item(), span.item(), quality)
