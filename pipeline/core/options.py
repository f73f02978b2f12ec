"""The options of an animation, with their ranges and how a page shows them, once for all commands and pages."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

AnimationRegion = Literal["all", "exp", "pose", "lip", "eyes"]

Background = Literal["keep", "blur", "colour", "transparent"]

KEY_COLOUR = "#00ff00"
"""Fills transparent parts: video has no alpha channel, so the output page makes this colour transparent again."""


class OptionError(ValueError):
    """An option does not exist, or its value is not allowed; the message names the option and what it takes."""


def _slider(default: float, low: float, high: float, label: str, hint: str, unit: str = "") -> float:
    metadata = {"low": low, "high": high, "label": label, "hint": hint, "unit": unit}
    value: float = field(default=default, metadata=metadata)
    return value


def _gain(label: str, hint: str) -> float:
    return _slider(1.0, 0.0, 2.0, label, hint, "×")


def _switch(default: bool, label: str, hint: str) -> bool:
    value: bool = field(default=default, metadata={"label": label, "hint": hint})
    return value


@dataclass(frozen=True)
class AnimateOptions:
    """How motion becomes pictures. Replaced as a whole, so that no frame is drawn with half of a change."""

    head: float = _gain("Head", "How far the head turns and moves; 1 is as far as yours")
    expression: float = _gain("Expression", "Strength of every movement of the face")
    mouth: float = _gain("Mouth", "Strength of mouth and jaw")
    eyes: float = _gain("Blink", "Strength of the eyelids")
    brows: float = _gain("Brows", "Strength of the brows")
    gaze: float = _gain("Gaze", "How far the eyes look around")
    yaw: float = _gain("Turn", "How far the head turns to the sides, on top of Head")
    pitch: float = _gain("Nod", "How far the head goes up and down, on top of Head")
    roll: float = _gain("Tilt", "How far the head leans, on top of Head")
    position: float = _gain("Position", "How far the head moves aside and closer, on top of Head; 0 stays in place")
    smoothing: float = _slider(0.5, 0.0, 1.0, "Smoothness", "More is steadier, less is quicker; 0 is the raw tracking")
    mirror: bool = _switch(False, "Mirror", "Flip the animated picture, left to right")
    badge: bool = _switch(True, "AI-generated badge", "Mark the picture as made by a machine")
    background: Background = field(
        default="keep",
        metadata={
            "choices": get_args(Background),
            "label": "Background",
            "hint": "What is behind the head; transparent is green here and see-through in the output page",
        },
    )
    background_colour: str = field(
        default="#30475e",
        metadata={"colour": True, "label": "Colour", "hint": "Used when the background is a colour"},
    )
    size: float = _slider(
        1.0, 0.25, 1.0, "Size", "Sides of the picture that is sent; a smaller one needs less bandwidth", "×"
    )
    driver_mouth: bool = _switch(
        False, "My own mouth", "Show your mouth's pixels inside the lips: livelier, but they are yours"
    )
    relative: bool = _switch(True, "Relative", "Move as far as you do from your neutral; off: copy your pose as it is")
    region: AnimationRegion = field(
        default="all",
        metadata={
            "choices": get_args(AnimationRegion),
            "label": "Region",
            "hint": "What follows you; exp is the face without the pose",
        },
    )
    driving_multiplier: float = _gain("Strength", "Multiplies all movement, after every correction")
    stitching: bool = _switch(True, "Stitching", "Keep the head on its shoulders")
    normalize_lip: bool = _switch(False, "Close lips first", "Close the portrait's open mouth before it follows yours")
    eye_retargeting: bool = _switch(False, "Copy eyes only", "The lids open as far as yours; nothing else moves")
    lip_retargeting: bool = _switch(False, "Copy lips only", "The lips open as far as yours; nothing else moves")
    paste_back: bool = _switch(True, "Whole picture", "Put the head back into the whole portrait; off: the crop only")
    edit_pitch: float = _slider(0.0, -15.0, 15.0, "Nod", "On the portrait itself", "°")
    edit_yaw: float = _slider(0.0, -25.0, 25.0, "Turn", "On the portrait itself", "°")
    edit_roll: float = _slider(0.0, -15.0, 15.0, "Tilt", "On the portrait itself", "°")
    edit_smile: float = _slider(0.0, -0.3, 1.3, "Smile", "Down or up")
    edit_wink: float = _slider(0.0, 0.0, 39.0, "Wink", "Close one eye")
    edit_eyebrow: float = _slider(0.0, -30.0, 30.0, "Lift brows", "Down or up")
    edit_gaze_x: float = _slider(0.0, -30.0, 30.0, "Look aside", "To one side or the other")
    edit_gaze_y: float = _slider(0.0, -63.0, 63.0, "Look up, down", "With the lids")
    edit_pout: float = _slider(0.0, -0.09, 0.09, "Pout", "The lips to one side or the other")
    edit_purse: float = _slider(0.0, -20.0, 15.0, "Purse", "The lips, wider or narrower")
    edit_grin: float = _slider(0.0, 0.0, 15.0, "Grin", "Show the teeth")
    edit_lip_open: float = _slider(0.0, -90.0, 120.0, "Open lips", "Shut or open")
    edit_move_x: float = _slider(0.0, -0.19, 0.19, "Move aside", "The head in the crop; 1 is half of it")
    edit_move_y: float = _slider(0.0, -0.19, 0.19, "Move up, down", "The head in the crop; 1 is half of it")
    edit_zoom: float = _slider(1.0, 0.9, 1.2, "Head size", "1 leaves it as it is", "×")

    def changed(self, changes: Mapping[str, Any]) -> AnimateOptions:
        """Return a copy with these changes. Raise OptionError if a name does not exist or a value is not allowed."""
        checked: dict[str, Any] = {name: _checked(name, value) for name, value in changes.items()}
        return dataclasses.replace(self, **checked)


COLOUR = re.compile("#[0-9a-fA-F]{6}")

_FIELDS = {spec.name: spec for spec in dataclasses.fields(AnimateOptions)}


def _checked(name: str, value: Any) -> float | bool | str:
    spec = _FIELDS.get(name)
    if spec is None:
        raise OptionError(f"There is no option {name!r}; the options are {', '.join(_FIELDS)}.")
    if isinstance(spec.default, bool):
        if not isinstance(value, bool):
            raise OptionError(f"{name} must be true or false, not {value!r}.")
        return value
    if choices := spec.metadata.get("choices"):
        if value not in choices:
            raise OptionError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
        return str(value)
    if spec.metadata.get("colour"):
        if not isinstance(value, str) or not COLOUR.fullmatch(value):
            raise OptionError(f"{name} must be a colour like {spec.default}, not {value!r}.")
        return value.lower()
    low, high = spec.metadata["low"], spec.metadata["high"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise OptionError(f"{name} must be a number from {low} to {high}, not {value!r}.")
    return float(value)
