"""What a server writes on standard error: text for a person, or a line of JSON for each event."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TypeAlias

__all__ = ["LogFormat", "start_log"]

LogFormat: TypeAlias = Literal["text", "json"]
_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class _Json(logging.Formatter):
    """A record as one line of JSON: time, level, source, message, the record's own fields, and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "source": record.name, "message": record.getMessage(),
        }  # fmt: skip
        entry |= {key: value for key, value in vars(record).items() if key not in _ORDINARY}
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def start_log(format: LogFormat) -> None:
    """Write the log in a format: as ``text`` what goes wrong, as ``json`` every request, too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if format == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    own = logging.getLogger("apiece")
    own.handlers.clear()  # those of the command line
    own.propagate = True
    own.setLevel(logging.INFO if format == "json" else logging.WARNING)
