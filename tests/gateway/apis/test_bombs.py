"""Bodies made to cost much: every API refuses them in its own words."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.app import MAX_FORM_PARTS, MAX_TEXT_FIELD_BYTES
from tests.vendors.conftest import analyzer as analyzer
from tests.vendors.conftest import app as app
from tests.vendors.conftest import client as client
from tests.vendors.conftest import keys_url as keys_url
from tests.vendors.routes import ROUTES, Route
from tests.vendors.test_contract import PHOTO, check

FORM_ROUTES = [route for route in ROUTES if route.file_field]
JSON_ROUTES = [route for route in ROUTES if not route.file_field and route.success == 200]


def post(client: FlaskClient, route: Route, data: Any) -> TestResponse:
    return client.post(route.path, data=data, content_type="multipart/form-data")


# Werkzeug leaves the files of a form that it gives up on to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("route", FORM_ROUTES, ids=str)
def test_too_many_parts(client: FlaskClient, route: Route) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\nx\r\n'
    body = part * (MAX_FORM_PARTS + 1) + b"--x--\r\n"
    check(route, "body too large", client.post(route.path, data=body, content_type="multipart/form-data; boundary=x"))


@pytest.mark.parametrize("route", FORM_ROUTES, ids=str)
def test_a_huge_text_field(client: FlaskClient, route: Route) -> None:
    check(route, "body too large", post(client, route, {"text": "x" * (MAX_TEXT_FIELD_BYTES + 1)}))


@pytest.mark.parametrize("route", FORM_ROUTES, ids=str)
def test_a_huge_part_header(client: FlaskClient, route: Route) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="' + b"a" * 200_000 + b'"\r\n\r\nx\r\n--x--\r\n'
    answer = client.post(route.path, data=body, content_type="multipart/form-data; boundary=x")
    assert 400 <= answer.status_code < 500
    assert answer.mimetype == "application/json"


@pytest.mark.parametrize("route", FORM_ROUTES, ids=str)
def test_nested_multipart(client: FlaskClient, route: Route) -> None:
    inner = b"--y\r\n\r\n" * 2000
    body = b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n" + inner + b"\r\n--x--\r\n"
    answer = client.post(route.path, data=body, content_type="multipart/form-data; boundary=x")
    assert 400 <= answer.status_code < 500
    assert answer.mimetype == "application/json"


@pytest.mark.parametrize("route", FORM_ROUTES, ids=str)
def test_null_bytes_in_names(client: FlaskClient, route: Route) -> None:
    head = f'--x\r\nContent-Disposition: form-data; name="{route.file_field}"; filename="../a\0b.jpg"\r\n\r\n'.encode()
    answer = client.post(route.path, data=head + PHOTO + b"\r\n--x--\r\n", content_type="multipart/form-data; boundary=x")
    assert answer.status_code == 200
    assert any(word in answer.text for word in ("faces", "face_count", "box"))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"image":' * 20_000, '{"image": ' + "[" * 5000 + "]" * 5000 + "}", '{"image": 1e999999}'])
@pytest.mark.parametrize("path", [*(route.path for route in JSON_ROUTES), "/v1/analyze", "/images/face-analysis"])
def test_nested_json(client: FlaskClient, app: Flask, path: str, text: str) -> None:
    answer = client.post(path, data=text, content_type="application/json")
    assert answer.status_code in (400, 413) or (answer.status_code == 200 and answer.get_json()["result"] == "Err")


@pytest.mark.parametrize("route", JSON_ROUTES, ids=str)
def test_giant_base64(client: FlaskClient, route: Route) -> None:
    body = json.dumps({"image": base64.b64encode(bytes(2**18)).decode()})
    check(route, "body too large", client.post(route.path, data=body, content_type="application/json"))
