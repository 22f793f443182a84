"""Generated requests against the OpenAPI document: no server error, no undocumented status, media type or body.

VULTUS_FUZZ_EXAMPLES sets how many requests each operation gets; the default keeps the suite short.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, settings
from schemathesis import checks

from gateway.apis.services import KEY
from gateway.app import create_app
from gateway.settings import Settings
from tests.conftest import FakeTriton
from tests.vendors.conftest import FakeAnalyzer

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


class Offering(FakeAnalyzer):
    """Answers /v1 as well."""

    by_default = ("age", "gender", "emotion")


def _app() -> Flask:
    folder = Path(tempfile.mkdtemp(prefix="vultus-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    keys, pictures = f"sqlite:///{folder / 'keys.sqlite'}", str(folder / "pictures")
    where = Settings(keys_url=keys, pictures_url=pictures, log_level="CRITICAL", decode_processes=0)
    app: Flask = create_app(where, FakeTriton())  # type: ignore[arg-type]
    app.extensions[KEY] = replace(app.extensions[KEY], analyzer=Offering())
    return app


SCHEMA = schemathesis.openapi.from_wsgi("/openapi.json", _app())


@SCHEMA.parametrize()
@settings(max_examples=int(os.environ.get("VULTUS_FUZZ_EXAMPLES", "15")), deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.filterwarnings("default")
def test_generated_requests(case: Any) -> None:
    case.call_and_validate(checks=CHECKS)
