"""How a line of the log is written: one JSON object, whoever speaks."""

from __future__ import annotations

from typing import Any

# Arguments of python-json-logger's JsonFormatter.
FORMAT: dict[str, Any] = {
    "fmt": "{asctime}{levelname}{name}{message}",
    "style": "{",
    "rename_fields": {"asctime": "time", "levelname": "level"},
}
