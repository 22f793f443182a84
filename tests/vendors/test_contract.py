"""The same situations for every route of every vendor."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from gateway import errors as e
from gateway.apis.services import KEY
from gateway.apis.vendor import look_up
from gateway.apis.vendors import VENDORS
from gateway.callers.keys import Issued, Key, KeyStore, State
from scripts.traffic.questions import question
from tests.gateway.pictures.test_decoding import bomb
from tests.gateway.test_errors import leaves
from tests.vendors.conftest import FIRST, SECOND, FakeAnalyzer
from tests.vendors.routes import ROUTES, Route

every_route = pytest.mark.parametrize("route", ROUTES, ids=str)
PAIRED = {vendor.name: vendor.paired for vendor in VENDORS}
PREFIX = {vendor.name: vendor.prefixes[0] for vendor in VENDORS}


def picture(kind: str = "JPEG", size: tuple[int, int] = (640, 480)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (90, 120, 150)).save(buffer, kind)
    return buffer.getvalue()


PHOTO = picture()


def check(route: Route, situation: str, answer: TestResponse) -> None:
    status, expected = route.errors[situation]
    assert answer.status_code == status
    assert answer.mimetype == "application/json"
    body: Any = answer.json
    assert {key: body[key] for key in expected} == expected
    assert "data" not in body or route.vendor == "machinesense"
    if status in (429, 503) or (route.vendor == "machinesense" and body["code"] in (8, 9)):
        assert int(answer.headers["Retry-After"]) >= 1


def issue(store: KeyStore, route: Route, quota: int | None = None, rate: int | None = None) -> Issued:
    return store.create(route.vendor, "test", quota, rate, pair=PAIRED[route.vendor])


def test_every_vendor_has_routes_here() -> None:
    assert {route.vendor for route in ROUTES} == set(PAIRED)


@every_route
def test_the_call_row_is_the_route(client: FlaskClient, store: KeyStore, route: Route) -> None:
    """What benchmark, soak and chaos make of a vendor's row is answered as what is written by hand in routes.py."""
    calls = next(vendor for vendor in VENDORS if vendor.name == route.vendor).calls
    (call,) = [call for call in calls if (call.path, call.json) == (route.path, not route.file_field)]
    assert call.picture == (route.file_field or call.picture)
    if call == calls[0]:
        asked = question(route.vendor, "photo", PHOTO, issue(store, route))
        answer = client.post(asked.path, data=asked.body, headers=dict(asked.headers))
        assert answer.status_code == route.success
        assert '"Err"' not in answer.text


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
@pytest.mark.parametrize("error", leaves(e.GatewayError))
def test_every_error_has_its_words(app: Flask, vendor: Any, error: type[e.GatewayError]) -> None:
    instance = error(3, 4, retry_after_s=9) if error is e.QuotaExceeded else error()
    with app.test_request_context():
        answer = vendor.fail(instance)
    assert answer.mimetype == "application/json"
    assert answer.status_code != 200 or vendor.name == "machinesense"
    if error.status >= 500:
        assert answer.status_code >= 500 or vendor.name == "machinesense"


def test_look_up_prefers_the_nearest_class() -> None:
    table = {e.GatewayError: "all", e.RequestError: "request", e.NoFace: "face"}
    assert [look_up(table, error) for error in (e.NoFace(), e.MissingImage(), e.InternalError())] == ["face", "request", "all"]


@every_route
def test_success_with_and_without_a_final_slash(client: FlaskClient, route: Route) -> None:
    answer = route.send(client, PHOTO, None)
    assert answer.status_code == route.success
    assert answer.mimetype == "application/json"
    assert client.post(f"{route.path}/").status_code != 404


@every_route
def test_several_faces(client: FlaskClient, analyzer: FakeAnalyzer, route: Route) -> None:
    analyzer.faces = (FIRST, SECOND)
    body: Any = route.send(client, PHOTO, None).json
    if route.vendor == "machinesense":
        assert body["code"] == 0
    else:
        assert len(body.get("faces") or body.get("result") or body["data"]["age_list"]) == 2


@every_route
def test_no_face(client: FlaskClient, analyzer: FakeAnalyzer, route: Route) -> None:
    analyzer.faces = ()
    answer = route.send(client, PHOTO, None)
    if "no face" in route.errors:
        check(route, "no face", answer)
    else:
        assert answer.status_code == route.success
        assert answer.json is not None
        assert len(answer.json["faces"]) == 0


@every_route
@pytest.mark.parametrize(
    ("situation", "data"),
    [
        ("field missing", None),
        ("unreadable", b"no image at all"),
        ("unreadable", PHOTO[:900]),
        ("empty", b""),
        ("wrong format", None),
        ("too many bytes", PHOTO + bytes(2**17)),
        ("body too large", PHOTO + bytes(2**18)),
        ("too many pixels", bomb(16_000, 4_200)),
    ],
)
def test_bad_images(client: FlaskClient, route: Route, situation: str, data: bytes | None) -> None:
    sent = picture(route.wrong_format) if situation == "wrong format" else data
    check(route, situation, route.send(client, sent, None))


@every_route
@pytest.mark.parametrize(
    ("situation", "failure"),
    [
        ("triton down", e.UpstreamUnavailable()),
        ("triton busy", e.UpstreamOverloaded(retry_after_s=1)),
        ("triton slow", e.UpstreamTimeout()),
        ("defect", e.InternalError()),
    ],
)
def test_triton_failures(client: FlaskClient, analyzer: FakeAnalyzer, route: Route, situation: str, failure: e.GatewayError) -> None:
    analyzer.failure = failure
    check(route, situation, route.send(client, PHOTO, None))


@every_route
def test_an_exception_shows_nothing(client: FlaskClient, analyzer: FakeAnalyzer, route: Route) -> None:
    analyzer.faces = (replace(FIRST, keypoints=()),) if route.vendor == "coqnitics" else (None,)  # type: ignore[assignment]
    answer = route.send(client, PHOTO, None)
    check(route, "defect", answer)
    assert "NoneType" not in answer.text


@every_route
def test_keys(client: FlaskClient, store: KeyStore, route: Route) -> None:
    key = issue(store, route)
    answer = route.send(client, PHOTO, key)
    assert answer.status_code == route.success
    assert '"Err"' not in answer.text
    check(route, "key missing", route.send(client, PHOTO, None))
    check(route, "key wrong", route.send(client, PHOTO, replace(key, secret="0" * 40)))
    other = store.create("vultus", "another API's key")
    check(route, "key wrong", route.send(client, PHOTO, other))
    store.set_state(key.key.id, State.SUSPENDED)
    check(route, "suspended", route.send(client, PHOTO, key))
    store.set_state(key.key.id, State.REVOKED)
    check(route, "key wrong", route.send(client, PHOTO, key))


@every_route
def test_keys_are_checked_before_the_image(client: FlaskClient, store: KeyStore, route: Route) -> None:
    issue(store, route)
    check(route, "key missing", route.send(client, b"no image", None))


@every_route
def test_keys_are_checked_before_the_body_is_read(app: Flask, client: FlaskClient, store: KeyStore, route: Route) -> None:
    """Where the key is in a header: its view, which needs the body, is never called."""
    if route.vendor in ("machinesense", "coqnitics"):
        return
    issue(store, route)
    (endpoint,) = [rule.endpoint for rule in app.url_map.iter_rules() if rule.rule == route.path and "POST" in (rule.methods or ())]
    app.view_functions[endpoint] = lambda: pytest.fail("the view was called")
    check(route, "key missing", route.send(client, PHOTO, None))


@every_route
def test_quota_counts_successes_only(client: FlaskClient, store: KeyStore, analyzer: FakeAnalyzer, route: Route) -> None:
    key = issue(store, route, quota=1)
    check(route, "unreadable", route.send(client, b"no image", key))
    analyzer.failure = e.UpstreamUnavailable()
    check(route, "triton down", route.send(client, PHOTO, key))
    analyzer.failure = None
    assert route.send(client, PHOTO, key).status_code == route.success
    check(route, "quota", route.send(client, PHOTO, key))
    assert [calls for _, calls in store.usage(key.key.id)] == [1]


@every_route
def test_rate(client: FlaskClient, store: KeyStore, route: Route) -> None:
    key = issue(store, route, rate=1)
    assert route.send(client, PHOTO, key).status_code == route.success
    check(route, "rate", route.send(client, PHOTO, key))


@every_route
def test_no_key_stored_and_keys_required(client: FlaskClient, app: Flask, route: Route) -> None:
    services = app.extensions[KEY]
    services.admission._require = True
    never_issued = Key(0, "none", "", "0" * 20, State.ACTIVE, None, None)
    check(route, "key wrong", route.send(client, PHOTO, Issued(never_issued, secret="1" * 40)))


@every_route
def test_routing(client: FlaskClient, route: Route) -> None:
    check(route, "wrong method", client.get(route.path))
    check(route, "unknown path", client.post(f"{PREFIX[route.vendor]}-no-such-thing"))


NAMELESS: dict[str, dict[str, Any]] = {
    "arsa": {
        "detail": [{"loc": ["body", "face_image"], "msg": "field required: the part has no file name", "type": "value_error.missing"}]
    },
    "ailabtools": {"error_msg": "Missing parameters. - [image]: the part has no file name", "error_code_str": "MISSING_PARAMETERS"},
    "coqnitics": {"error": {"code": "MISSING_FILE", "message": "Field filename has no file name, so it is no file"}},
    "compreface": {"code": 34, "message": "Required part file is missing: the part of this name has no file name"},
    "scaleflex": {"code": "FILE_MISSING", "hint": "Give the multipart field file a file name"},
}


@every_route
@pytest.mark.parametrize("data", [b"text", PHOTO, PHOTO + bytes(2**17 + 2**16)])
def test_a_part_without_a_file_name_is_missing_and_told(client: FlaskClient, route: Route, data: bytes) -> None:
    """The contract of all of them (chapter 1.1, rule 5); large ones are no exception."""
    if not route.file_field:
        return
    body = b'--x\r\nContent-Disposition: form-data; name="' + route.file_field.encode() + b'"\r\n\r\n' + data + b"\r\n--x--\r\n"
    answer = client.post(route.path, data=body, content_type="multipart/form-data; boundary=x")
    assert answer.status_code == route.errors["field missing"][0]
    assert answer.json is not None
    told = NAMELESS.get(route.vendor, {})  # a new vendor's words are its own
    assert {key: answer.json[key] for key in told} == told


@every_route
@pytest.mark.parametrize("name", ["gr\xfc\xdfe.jpg".encode("latin-1"), "\u8868.jpg".encode("shift-jis"), "\u8868".encode("shift-jis"), b""])
def test_file_names_in_any_encoding(client: FlaskClient, route: Route, name: bytes) -> None:
    if not route.file_field:
        return
    head = b'--x\r\nContent-Disposition: form-data; name="' + route.file_field.encode() + b'"; filename="' + name + b'"\r\n\r\n'
    answer = client.post(route.path, data=head + PHOTO + b"\r\n--x--\r\n", content_type="multipart/form-data; boundary=x")
    assert answer.status_code == route.success


@every_route
@pytest.mark.parametrize("faces", [(), (FIRST,), (FIRST, SECOND)])
def test_answers_are_as_documented(client: FlaskClient, analyzer: FakeAnalyzer, route: Route, faces: Any) -> None:
    """Real answers against the OpenAPI document: success or failure, several faces or none, and a missing image."""
    document: Any = client.get("/openapi.json").json
    responses = document["paths"][route.path]["post"]["responses"]
    analyzer.faces = faces
    for answer in (route.send(client, PHOTO, None), route.send(client, None, None)):
        schema = responses.get(str(answer.status_code), responses["default"])["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json, {**schema, "components": document["components"]})
