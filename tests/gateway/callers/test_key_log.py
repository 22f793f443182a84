"""Who used which key: the number of the key is in the line of each request, the secret is not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from gateway.app import create_app
from gateway.callers.keys import KeyStore
from gateway.settings import Settings
from tests.conftest import FakeTriton


def test_the_log_says_whose_key_was_used(tmp_path: Path, triton: FakeTriton, astronaut: bytes, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path / 'keys.sqlite'}"
    secrets = [KeyStore(url).create("vultus", label, monthly_quota=quota).secret for label, quota in (("first", None), ("second", 1))]
    settings = Settings(decode_processes=0, keys_url=url, pictures_url=str(tmp_path), require_keys=True)
    client = create_app(settings, triton).test_client()  # type: ignore[arg-type]
    logger = logging.getLogger("vultus.access")
    logger.addHandler(caplog.handler)
    sent = [secrets[0], secrets[1], secrets[1], "wrong", None]
    answers = [client.post("/v1/analyze", data=astronaut, content_type="image/jpeg", headers={"X-API-Key": s} if s else {}) for s in sent]
    logger.removeHandler(caplog.handler)
    assert [answer.status_code for answer in answers] == [200, 200, 429, 401, 401]
    assert [record.__dict__["key"] for record in caplog.records] == [1, 2, 2, None, None], "of a refused call too, and of no later one"
    assert not [record for record in caplog.records if any(secret in str(record.__dict__) for secret in secrets)]
