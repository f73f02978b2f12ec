"""The log for programs: one JSON object per line. Events name no user, no address and no session."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

logger = logging.getLogger(__name__)


def log_event(event: str, level: int, **fields: Any) -> None:
    """Log `event` with its figures."""
    if logger.isEnabledFor(level):
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        logger.log(level, json.dumps({"time": time, "event": event, **fields}))
