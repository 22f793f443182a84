"""gateway/README.md says what the code does."""

from __future__ import annotations

import ast
import json
import logging
import re
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from pythonjsonlogger.json import JsonFormatter

from gateway import metrics
from gateway.settings import Settings
from tests.served import ROOT

TEXT = (ROOT / "gateway" / "README.md").read_text()
OURS = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
KINDS = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


def test_folders_are_documented_with_their_rule() -> None:
    rules = {path.parent.name: ast.get_docstring(ast.parse(path.read_text())) for path in (ROOT / "gateway").glob("*/__init__.py")}
    assert dict(re.findall(r"^\| `(\w+)/` \| (.*) \|$", TEXT, re.M)) == rules


def test_every_metric_is_documented_with_its_type_and_labels() -> None:
    rows = re.findall(r"^\| `(vultus_\w+)` \| (\w+) \| ([\w, ]*)\|", TEXT, re.M)
    documented = {name: (kind, tuple(filter(None, labels.replace(" ", "").split(",")))) for name, kind, labels in rows}
    actual = {}
    for metric in OURS:
        name = metric._name + ("_total" if isinstance(metric, Counter) else "")
        actual[name] = (KINDS[type(metric)], tuple(metric._labelnames))
    assert documented == actual


def test_reasons_of_rejection_are_those_of_the_code() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    used = set(re.findall(r'REJECTED\.labels\("(\w+)"\)|refused\("(\w+)"\)', sources))
    (line,) = re.findall(r"^Reasons: (.*?)\n\n", TEXT, re.M | re.S)
    assert {a or b for a, b in used} == set(re.findall(r"`(\w+)`", line))


def test_stages_are_those_of_the_code() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    (line,) = re.findall(r"of an analysis: (.*) \|$", TEXT, re.M)
    for stage in set(re.findall(r'STAGE\.labels\("(\w+)"\)', sources)):
        assert re.search(rf"\b{stage}\b", line)


def test_log_fields_are_documented(client: FlaskClient, astronaut: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    # The handler was made before this test's standard error.
    (handler,) = [handler for handler in logging.getLogger("vultus").handlers if isinstance(handler.formatter, JsonFormatter)]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(sys.stderr)
    client.post("/v1/analyze", data=astronaut, content_type="image/jpeg")
    fields = set(json.loads(capsys.readouterr().err.splitlines()[-1]))
    log = TEXT[TEXT.index("## Log") : TEXT.index("## Traces")]
    documented = {name for row in re.findall(r"^\| (`[^|]+`) \|", log, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert documented == fields | {"trace_id"}


def test_settings_that_are_named_exist() -> None:
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", TEXT)) - {"PROMETHEUS_MULTIPROC_DIR", "OTEL_TRACES_SAMPLER", "VULTUS_TRACE_ENDPOINT"}
    assert named <= {name.upper() for name in Settings.model_fields}


def test_paths_exist() -> None:
    for path in re.findall(r"`(scripts/[\w./-]+)", TEXT):
        assert Path(ROOT / path).exists(), path
