"""What the OpenAPI document says of parameters and failures."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.apis.services import KEY


@pytest.fixture
def paths(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json["paths"]  # type: ignore[index]
    return found


def schemas(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}


def test_parameters_have_types_bounds_and_examples(paths: dict[str, Any]) -> None:
    ours = schemas(paths["/v1/analyze"]["post"])
    assert ours["max_faces"] == {"default": 128, "examples": [1], "maximum": 128, "minimum": 1, "type": "integer"}
    assert (ours["min_confidence"]["type"], ours["min_confidence"]["maximum"]) == ("number", 1)
    assert ours["attributes"] == {"type": "string", "examples": ["age,emotion"]}
    assert (ours["X-Timeout-Seconds"]["type"], ours["X-Timeout-Seconds"]["exclusiveMinimum"]) == ("number", 0)
    assert schemas(paths["/api/v1/face_analytics"]["post"])["schema"]["enum"] == ["default", "docs", "superset"]
    assert schemas(paths["/images/face-analysis/upload"]["post"])["landmarks"]["enum"] == ["0", "1"]


def test_every_operation_has_a_tag(paths: dict[str, Any]) -> None:
    tags = {path: operation["tags"] for path, methods in paths.items() for operation in methods.values()}
    assert (tags["/v1/attributes"], tags["/readyz"], tags["/deliver/{token}/{name}.png"]) == (["v1"], ["health"], ["scaleflex"])


def test_unready_is_documented(paths: dict[str, Any]) -> None:
    body = paths["/readyz"]["get"]["responses"]["503"]["content"]["application/json"]
    assert body == {"schema": {"$ref": "#/components/schemas/Health"}}


def test_a_key_is_checked_before_the_body_is_read(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    app.extensions[KEY].admission._require = True
    monkeypatch.setattr("gateway.forms.FormRequest.get_data", lambda *_, **__: b"")
    monkeypatch.setitem(app.view_functions, "v1.analyze", lambda: pytest.fail("the view was called"))
    answer = client.post("/v1/analyze", data=b"x", content_type="image/jpeg")
    assert (answer.status_code, answer.json["code"]) == (401, "key_missing")  # type: ignore[index]
