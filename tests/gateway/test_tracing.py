"""Traces that are off. That they arrive from both tiers is tested with a real Triton."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway import tracing
from gateway.app import create_app
from gateway.settings import Settings
from tests.conftest import FakeTriton


def test_without_an_endpoint_nothing_is_traced() -> None:
    with tracing.inference() as headers:
        assert headers == {}
        assert tracing.trace_id() is None


def test_a_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    settings = Settings(keys_url=f"sqlite:///{tmp_path / 'keys.sqlite'}", trace_endpoint="http://127.0.0.1:1/v1/traces")
    with pytest.raises(RuntimeError, match=r"vultus\[tracing\]"):
        create_app(settings, FakeTriton())  # type: ignore[arg-type]
