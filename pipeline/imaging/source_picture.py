"""Read a source picture from untrusted bytes, within limits, and choose the face in it that is animated."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from pipeline.core.animator import Picture
from pipeline.face.face import Face

MAX_BYTES: Final = 20_000_000
MAX_PIXELS: Final = 50_000_000
MAX_SIDE: Final = 4096  # larger pictures are reduced to this; no face needs more
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

BUILTIN: Final = {
    name: Path(__file__).parents[1] / "assets" / f"{name}.jpg"
    for name in ("astronaut", "painting", "sepia", "moonlight")
}
"""Portraits that come with the program: name -> file."""


class PortraitError(ValueError):
    """A source cannot be animated; the message says why and what to choose instead."""


class NotAPicture(PortraitError):
    """The bytes are not a picture in a known format."""


class TooLarge(PortraitError):
    """A picture with more bytes or pixels than the limits."""


class Unsuitable(PortraitError):
    """A picture, but without a face that can be animated."""


def default_portrait() -> bytes:
    """Return the file of the portrait that is shown until the user chooses another."""
    return BUILTIN["astronaut"].read_bytes()


def read_picture(data: bytes) -> Picture:
    """Decode an uploaded picture: upright (EXIF), without alpha, an animation's first frame, at most 4096 on a side.

    The type is recognised by content, never by name, and the size is checked before anything is decoded. Raise
    TooLarge or NotAPicture.
    """
    if len(data) > MAX_BYTES:
        raise TooLarge(f"The picture has {len(data) / 1e6:.1f} MB; choose one of at most {MAX_BYTES / 1e6:.0f} MB.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise TooLarge(_too_many_pixels(f"{width} x {height} pixels, more"))
            return _rgb(image)
    except Image.DecompressionBombError as error:
        raise TooLarge(_too_many_pixels("more")) from error
    except PortraitError:
        raise
    except Exception as error:  # Pillow raises many types on broken files: OSError, SyntaxError, struct.error ...
        raise NotAPicture(
            "The file is not a picture that can be read, or it is damaged; choose a JPEG, PNG, WebP, GIF, BMP or TIFF."
        ) from error


def _too_many_pixels(count: str) -> str:
    return f"The picture has {count} than {MAX_PIXELS / 1e6:.0f} million pixels; choose a smaller one."


def _rgb(image: Image.Image) -> Picture:
    image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # lets the JPEG decoder skip detail that is thrown away below
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        upright = _from_deep_gray(upright)
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    flat = upright.convert("RGB")
    flat.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(flat).copy()


def _from_deep_gray(image: Image.Image) -> Image.Image:
    """Convert gray of 16 or 32 bits to 8; Pillow's own conversion clips at 255."""
    gray = np.asarray(image).astype(np.float64)
    top = 65535.0 if gray.max() > 255 else 255.0
    return Image.fromarray(np.clip(gray * (255 / top), 0, 255).astype(np.uint8))


def choose_face(picture: Picture, faces: list[Face]) -> tuple[Face, tuple[str, ...]]:
    """Return the face to animate, the first and largest of `faces`, and sentences on what may look wrong.

    Raise Unsuitable if there is none.
    """
    if not faces:
        raise Unsuitable(
            "No face was found in the portrait; choose one that shows a whole human face from the front "
            "(most animals are not recognised)."
        )
    face = faces[0]
    warnings = [_which(picture, face, len(faces))] if len(faces) > 1 else []
    return face, (*warnings, *_doubts(picture, face))


def portrait_key(picture: Picture, animator: str, size: int) -> str:
    """Return the `Portrait.key` of a source picture that this animator draws at this size."""
    return hashlib.sha256(picture.tobytes() + f"{animator} {size} {picture.shape}".encode()).hexdigest()


def _which(picture: Picture, face: Face, count: int) -> str:
    centre = float(face.landmarks[:, 0].mean()) / picture.shape[1]
    where = "on the left" if centre < 0.4 else "on the right" if centre > 0.6 else "in the middle"
    return f"There are {count} faces in the portrait; the largest, {where}, is animated."


def _doubts(picture: Picture, face: Face) -> list[str]:
    """Return sentences on what may look wrong: size, direction, eyes, mouth, border."""
    low, high = face.landmarks[:468, :2].min(0), face.landmarks[:468, :2].max(0)
    height, width = picture.shape[:2]
    size = float(max(high - low))
    outside = bool((low < 0).any() or high[0] > width or high[1] > height)
    mouth_open = face.lip_gap > 0.6
    checks = (
        (size < 120, f"The face is only {size:.0f} pixels tall, so the result is blurred; 250 or more look sharp."),
        (
            abs(face.pose.yaw) > 20,
            f"The head is turned {abs(face.pose.yaw):.0f} degrees aside; it can hardly turn to the other side. "
            "A portrait from the front moves more freely.",
        ),
        (abs(face.pose.pitch) > 22, "The head is tilted far up or down; a portrait at eye level moves more freely."),
        (max(face.eye_ratio) < 0.12, "The eyes are closed in the portrait; they cannot open."),
        (mouth_open, "The mouth is open in the portrait; speech looks best from a closed or slightly smiling mouth."),
        (outside, "The face is cut off by the border of the portrait; what lies outside is invented."),
    )
    return [sentence for wrong, sentence in checks if wrong]
