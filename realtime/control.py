"""The messages of the data channel "control": JSON objects with a "type", each answered by one."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from pipeline.core.options import OptionError
from realtime.metrics.page_report import BadView, PageReport

if TYPE_CHECKING:
    from realtime.session import Session


class BadMessage(ValueError):
    """A message that cannot be understood; the text says why."""


def reply(session: Session, message: str) -> str:
    """The answer to `message`, after doing what it says. Whatever arrives, there is an answer and no error."""
    try:
        return json.dumps(_answer(session, _parse(message)))
    except (BadMessage, BadView, OptionError) as error:
        return json.dumps({"type": "error", "detail": str(error)})


def _parse(message: str) -> dict[str, Any]:
    try:
        parsed = json.loads(message)
    except (ValueError, RecursionError):
        raise BadMessage("The message is not JSON.") from None
    if not isinstance(parsed, dict):
        raise BadMessage("The message must be a JSON object.")
    return parsed


def _answer(session: Session, message: dict[str, Any]) -> dict[str, Any]:
    match message:
        case {"type": "options", "options": dict(changes)}:
            return {"type": "options", "options": dataclasses.asdict(session.set_options(changes))}
        case {"type": "options"}:
            raise BadMessage("The message needs 'options', an object of option names and values.")
        case {"type": "calibrate"}:
            session.calibrate()
            return {"type": "calibrated"}
        case {"type": "freeze", "on": bool(on)}:
            session.freeze(on)
            return {"type": "frozen", "on": on}
        case {"type": "stats"}:
            return {"type": "stats", "stats": session.stats()}
        case {"type": "ping"}:
            return {"type": "pong", "id": message.get("id")}
        case {"type": "view"}:
            session.record_page_report(PageReport.parse(message))
            return {"type": "frames", "id": message.get("id"), **session.frames(_time(message.get("since", 0)))}
        case _:
            raise BadMessage("The message's 'type' must be options, calibrate, freeze ('on'), stats, ping or view.")


def _time(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadMessage("'since' must be a time in seconds, as 'time' in the reply before.")
    return value
