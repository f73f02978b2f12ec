"""Fits, crops and joins pictures as I420 planes (BT.601, limited range)."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange

from pipeline.core.animator import Planes

BLACK = (16, 128, 128)  # Y, U, V


def fitted(video: av.VideoFrame, width: int, height: int) -> Planes:
    """Fit a whole picture of any size and format into the middle of a black one of even `width` and `height`."""
    scale = min(width / video.width, height / video.height)
    inner = [max(2, round(side * scale / 2) * 2) for side in (video.width, video.height)]
    picture = scaled(video, *inner)
    if inner == [width, height]:
        return picture
    left, top = (width - inner[0]) // 4 * 2, (height - inner[1]) // 4 * 2
    canvas = blank(width, height)
    for plane, part, halved in zip(split(canvas), split(picture), (1, 2, 2), strict=True):
        plane[top // halved :, left // halved :][: part.shape[0], : part.shape[1]] = part
    return canvas


def scaled(video: av.VideoFrame, width: int, height: int) -> Planes:
    """Stretch a picture of any format to even `width` and `height`."""
    resized = video.reformat(width=width, height=height, format="yuv420p", dst_color_range=ColorRange.MPEG)
    return np.asarray(resized.to_ndarray(), np.uint8)


def blank(width: int, height: int) -> Planes:
    """Return a black picture."""
    canvas = np.empty((height * 3 // 2, width), np.uint8)
    for plane, level in zip(split(canvas), BLACK, strict=True):
        plane[:] = level
    return canvas


def covering(video: av.VideoFrame, width: int, height: int) -> Planes:
    """Scale and crop a picture of any size and format so that it covers even `width` and `height`."""
    scale = max(width / video.width, height / video.height)
    outer = [round(side * scale / 2) * 2 for side in (video.width, video.height)]
    picture = scaled(video, *outer)
    left, top = (outer[0] - width) // 4 * 2, (outer[1] - height) // 4 * 2
    canvas = np.empty((height * 3 // 2, width), np.uint8)
    for plane, whole, halved in zip(split(canvas), split(picture), (1, 2, 2), strict=True):
        plane[:] = whole[top // halved :, left // halved :][: plane.shape[0], : plane.shape[1]]
    return canvas


def beside(left: Planes, right: Planes) -> Planes:
    """Join two pictures of the same size, side by side."""
    rows = [np.hstack(pair).ravel() for pair in zip(split(left), split(right), strict=True)]
    return np.concatenate(rows).reshape(len(left), -1)


def split(planes: Planes) -> tuple[Planes, Planes, Planes]:
    """Return views of Y (height, width), U and V (half of both each)."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    luma, chroma = planes[:height], planes[height:].reshape(2, height // 2, width // 2)
    return luma, chroma[0], chroma[1]
