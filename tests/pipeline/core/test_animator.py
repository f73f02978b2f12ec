"""The options: their defaults, their checks, and that both animators know what they obey."""

from __future__ import annotations

import pytest

from pipeline.core.options import AnimateOptions, OptionError
from pipeline.meshwarp.animator import MeshWarp

OPTIONS = AnimateOptions()


def test_defaults_are_those_of_the_official_command_line():
    assert OPTIONS.relative and OPTIONS.stitching and OPTIONS.paste_back and OPTIONS.badge
    assert not (OPTIONS.normalize_lip or OPTIONS.eye_retargeting or OPTIONS.lip_retargeting)
    assert (OPTIONS.region, OPTIONS.driving_multiplier) == ("all", 1.0)


def test_changed_is_a_copy():
    changed = OPTIONS.changed({"region": "lip", "head": 2, "stitching": False})
    assert (changed.region, changed.head, changed.stitching) == ("lip", 2.0, False)
    assert OPTIONS.region == "all" and isinstance(changed.head, float)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("region", "nose", "region must be one of all, exp, pose, lip, eyes, not 'nose'."),
        ("region", 3, "region must be one of all, exp, pose, lip, eyes, not 3."),
        ("region", ["all"], "region must be one of"),
        ("stitching", 1, "stitching must be true or false, not 1."),
        ("driving_multiplier", 2.1, "driving_multiplier must be a number from 0.0 to 2.0, not 2.1."),
        ("edit_gaze_y", -64, "edit_gaze_y must be a number from -63.0 to 63.0, not -64."),
        ("head", True, "head must be a number from 0.0 to 2.0, not True."),
        ("head", float("nan"), "head must be a number"),
        ("background", "beach", "background must be one of keep, blur, colour, transparent, not 'beach'."),
        ("background_colour", "red", "background_colour must be a colour like #30475e, not 'red'."),
        ("background_colour", "#12345", "background_colour must be a colour like"),
        ("background_colour", 7, "background_colour must be a colour like"),
        ("headd", 1, "There is no option 'headd'; the options are head, expression"),
    ],
)
def test_what_does_not_fit_is_named(name, value, sentence):
    with pytest.raises(OptionError) as error:
        OPTIONS.changed({name: value})
    assert str(error.value).startswith(sentence)


def test_colours_are_written_one_way():
    assert OPTIONS.changed({"background_colour": "#AbCdEf"}).background_colour == "#abcdef"


def test_every_default_is_within_its_range():
    for name, spec in AnimateOptions.__dataclass_fields__.items():
        assert spec.metadata["label"] and spec.metadata["hint"]
        assert OPTIONS.changed({name: spec.default}) == OPTIONS


def test_supported_options_exist():
    assert set(AnimateOptions.__dataclass_fields__) > MeshWarp.supports
