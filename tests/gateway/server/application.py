"""What gunicorn serves in these tests: the real application before a fake Triton."""

from __future__ import annotations

import os

from flask import Flask

from gateway.app import create_app
from gateway.settings import Settings
from tests.conftest import FakeTriton


def application() -> Flask:
    folder = os.environ["VULTUS_TEST_FOLDER"]
    settings = Settings(
        upload_s=1.0, deadline_s=1.0, keys_url=f"sqlite:///{folder}/keys.sqlite", pictures_url=f"{folder}/pictures", log_level="WARNING"
    )
    return create_app(settings, FakeTriton())  # type: ignore[arg-type]
