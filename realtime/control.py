"""The messages of the data channel "control": JSON objects with a "type", each answered by one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.core.options import AnimateOptions, OptionError
from realtime.metrics.page_report import PageReport


class Controls(Protocol):
    """What a page may change in its session."""

    def set_options(self, changes: Mapping[str, Any]) -> AnimateOptions: ...
    def calibrate(self) -> None: ...
    def freeze(self, on: bool) -> None: ...


class Reports(Protocol):
    """What a page exchanges with its session about the pictures."""

    def stats(self) -> dict[str, Any]: ...
    def frames(self, since: float) -> dict[str, Any]: ...
    def record_page_report(self, report: PageReport) -> None: ...


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class SetOptions(_Message):
    """Changes options; the reply has all of them."""

    type: Literal["options"]
    options: dict[str, Any] = Field(description="an object of option names and values")


class Command(_Message):
    """Calibrates: takes the driver's next moments as the neutral. Or asks for the statistics."""

    type: Literal["calibrate", "stats"]


class SetFrozen(_Message):
    """Freezes the portrait, or lets it follow again."""

    type: Literal["freeze"]
    on: bool = Field(description="true or false")


class Ping(_Message):
    """Asks for a reply with the same id."""

    type: Literal["ping"]
    id: Any = None


class ViewReport(PageReport):
    """Brings what the page measured; the reply has the times of the frames sent after `since`."""

    type: Literal["view"]
    id: Any = None
    since: float = Field(0.0, description="a time in seconds, as 'time' in the reply before")


Message = Annotated[SetOptions | SetFrozen | Command | Ping | ViewReport, Field(discriminator="type")]

_PARSER: TypeAdapter[Message] = TypeAdapter(Message)
_EXPECTED = {
    name: field.description
    for model in (SetOptions, SetFrozen, ViewReport)
    for name, field in model.model_fields.items()
}


def reply(text: str, controls: Controls, reports: Reports) -> str:
    """Do what the message `text` asks, and return the reply. A bad message is answered with an error, never raised."""
    try:
        return json.dumps(_answer(_PARSER.validate_json(text), controls, reports))
    except ValidationError as error:
        return json.dumps({"type": "error", "detail": _sentence(error)})
    except OptionError as error:
        return json.dumps({"type": "error", "detail": str(error)})


def _answer(message: Message, controls: Controls, reports: Reports) -> dict[str, Any]:
    match message:
        case SetOptions():
            return {"type": "options", "options": dataclasses.asdict(controls.set_options(message.options))}
        case SetFrozen():
            controls.freeze(message.on)
            return {"type": "frozen", "on": message.on}
        case Command(type="calibrate"):
            controls.calibrate()
            return {"type": "calibrated"}
        case Command():
            return {"type": "stats", "stats": reports.stats()}
        case Ping():
            return {"type": "pong", "id": message.id}
        case ViewReport():
            reports.record_page_report(message)
            return {"type": "frames", "id": message.id, **reports.frames(message.since)}


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    match first["type"], first["loc"]:
        case "json_invalid", _:
            return "The message is not JSON."
        case _, (_, str(name), *_):
            return f"{name!r} must be {_EXPECTED[name]}."
        case (("union_tag_invalid" | "union_tag_not_found"), _):
            return "The message's 'type' must be options, calibrate, freeze, stats, ping or view."
    return "The message must be a JSON object."
