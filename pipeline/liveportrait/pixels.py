"""Move pictures between host and device. `HostPixels` is the reference; cuda/pixels.py does the same on CUDA without
waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.core.animator import Layout, Picture, Planes
from pipeline.imaging.finish import finish
from pipeline.liveportrait.crop import CROP_SIZE, Matrix, cut, halved
from pipeline.liveportrait.paste import Paster, to_input, to_pixels


class NotANumber(ArithmeticError):
    """The networks drew NaN; the message says what to do."""


@dataclass(frozen=True, eq=False)
class CropRequest:
    """A square of a picture that the networks are to see."""

    picture: Picture
    planes: Planes | None  # the same picture as it was decoded, if it was: fewer bytes to copy
    matrix: Matrix  # from the picture to the crop of 512 pixels; the networks get it at half the size


@dataclass(frozen=True, eq=False)
class Finish:
    """How a drawn crop becomes a picture."""

    paster: Paster | None  # puts it back into its portrait; None: the crop alone
    size: int  # side of the crop alone in pixels
    mirror: bool
    badge: bool  # drawn last, so that it is not mirrored

    @property
    def sides(self) -> tuple[int, int]:
        """Return the picture's height and width."""
        height, width = self.paster.picture.shape[:2] if self.paster else (self.size, self.size)
        return height, width


class Pixels(Protocol):
    """Moves pictures to and from the device, in one thread. The functions that it returns wait for the device."""

    def upload_crops(self, requests: Sequence[CropRequest]) -> Tensor:
        """Return the crops on the device, (B, 3, 256, 256) float32 in 0..1."""

    def download(self, values: Tensor) -> Callable[[], Tensor]:
        """Return a function that returns the values on the host."""

    def compose(
        self, crops: Tensor, finishes: Sequence[Finish], layout: Layout
    ) -> Callable[[], list[Picture | Planes]]:
        """Return a function that returns the pictures made of crops (B, 3, 512, 512), or raises NotANumber."""


class HostPixels:
    """Pixels by OpenCV on the host and PyTorch on any device; every call waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def upload_crops(self, requests: Sequence[CropRequest]) -> Tensor:
        return torch.cat([to_input(halved(cut(view.picture, view.matrix)), self._device) for view in requests])

    def download(self, values: Tensor) -> Callable[[], Tensor]:
        copy = values.to("cpu", copy=True)
        return lambda: copy

    def compose(
        self, crops: Tensor, finishes: Sequence[Finish], layout: Layout
    ) -> Callable[[], list[Picture | Planes]]:
        if not crops.isfinite().all():
            return no_picture
        drawn = [(_placed(crop, each), each) for crop, each in zip(crops[:, None], finishes, strict=True)]
        pictures = [finish(picture, each.mirror, each.badge, layout) for picture, each in drawn]
        return lambda: pictures


def no_picture() -> NoReturn:
    """Raise NotANumber."""
    raise NotANumber("LivePortrait's networks gave no picture; check the files with `run.py weights verify`.")


def _placed(crop: Tensor, finish: Finish) -> Picture:
    paste = finish.paster or to_pixels
    picture = np.asarray(paste(crop)[0].cpu().numpy())
    if not finish.paster and finish.size != CROP_SIZE:
        method = cv2.INTER_AREA if finish.size < CROP_SIZE else cv2.INTER_CUBIC
        picture = np.asarray(cv2.resize(picture, (finish.size, finish.size), interpolation=method), np.uint8)
    return picture
