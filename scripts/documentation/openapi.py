"""The gateway's OpenAPI document, without a server."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from gateway.app import create_app
from gateway.settings import Settings


@cache
def document() -> dict[str, Any]:
    """What GET /openapi.json answers."""
    with tempfile.TemporaryDirectory(prefix="vultus-docs-") as folder:
        keys, pictures = f"sqlite:///{Path(folder) / 'keys.sqlite'}", str(Path(folder) / "pictures")
        app = create_app(Settings(keys_url=keys, pictures_url=pictures, log_level="ERROR"))
        answer: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return answer
