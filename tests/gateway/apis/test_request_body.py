"""What a caller of /v1/analyze may send, and that nothing of it is left out in silence."""

from __future__ import annotations

import base64
import errno
import tempfile
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.apis.request_body import MUST_BE
from gateway.selection import MOST_FACES
from gateway.v1_schema import AnalyzeOptions
from scripts.graphs.geometry import MAX_FACES, MIN_SCORE
from tests.conftest import FakeTriton

OPTIONS = tuple(AnalyzeOptions.model_fields)


def part(name: str, data: bytes, more: bytes = b"") -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="' + name.encode() + b'"' + more + b"\r\n\r\n" + data + b"\r\n"


def send(client: FlaskClient, *parts: bytes, query: str = "") -> TestResponse:
    return client.post(f"/v1/analyze{query}", data=b"".join(parts) + b"--x--\r\n", content_type="multipart/form-data; boundary=x")


def refusal(answer: TestResponse) -> tuple[int, str, str]:
    assert answer.json is not None
    return answer.status_code, answer.json["code"], answer.json["detail"]


def faces(answer: TestResponse) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    found: list[dict[str, Any]] = answer.json["faces"]
    return found


@pytest.mark.parametrize(
    "more",
    [
        b"",
        b'; filename=""',
        b'; filename="gr\xfc\xdfe.jpg"',
        '; filename="\u8868.jpg"'.encode("shift-jis"),
        '; filename="\u8868"'.encode("shift-jis"),
        b"; filename*=utf-8''%e8%a1%a8.jpg",
    ],
)
def test_the_image_needs_no_file_name_and_none_is_wrong(client: FlaskClient, astronaut: bytes, more: bytes) -> None:
    assert len(faces(send(client, part("image", astronaut, more)))) == 2


def test_an_image_without_a_file_name_may_be_larger_than_text(client: FlaskClient, app: Any, astronaut: bytes) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    assert len(faces(send(client, part("image", astronaut + bytes(2**19))))) == 2
    assert send(client, part("image", astronaut), part("order", b"x" * 2**19)).status_code == 413


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_without_a_boundary(client: FlaskClient, astronaut: bytes, kind: str) -> None:
    status, code, detail = refusal(client.post("/v1/analyze", data=part("image", astronaut), content_type=kind))
    assert (status, code) == (400, "malformed_body")
    assert "has no boundary" in detail


@pytest.mark.parametrize("body", [b"no form", b"--y\r\n\r\n", b"--x\r\nContent-Disposition: form-data; name=image\r\n\r\ncut"])
def test_a_form_that_is_none(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/v1/analyze", data=body, content_type="multipart/form-data; boundary=x")
    assert refusal(answer)[:2] == (400, "malformed_body")


@pytest.mark.parametrize("encoding", ["gzip", "BR"])
def test_a_compressed_body(client: FlaskClient, astronaut: bytes, encoding: str) -> None:
    answer = client.post("/v1/analyze", data=astronaut, content_type="image/jpeg", headers={"Content-Encoding": encoding})
    status, code, detail = refusal(answer)
    assert (status, code) == (415, "unsupported_encoding")
    assert encoding.lower() in detail


def test_what_is_given_twice_is_named(client: FlaskClient, astronaut: bytes) -> None:
    image, age = part("image", astronaut), part("attributes", b"age")
    assert refusal(send(client, image, image))[1:] == ("too_many_images", "The form has more than one field named image.")
    assert refusal(send(client, image, part("image", astronaut, b'; filename="a"')))[1] == "too_many_images"
    assert refusal(send(client, image, age, age))[2] == "attributes is given more than once in the form."
    assert refusal(send(client, image, query="?attributes=age&attributes=pose"))[2] == "attributes is given more than once in the query."
    assert "attributes is given more than once in the query and the body" in refusal(send(client, image, age, query="?attributes=age"))[2]
    answer = client.post("/v1/analyze", data=b'{"image": "AAAA", "max_faces": 1, "max_faces": 2}', content_type="application/json")
    assert refusal(answer)[2] == "max_faces is given more than once in the JSON object."


def test_what_is_unknown_is_named(client: FlaskClient, astronaut: bytes) -> None:
    image = part("image", astronaut)
    assert "not atributes." in refusal(send(client, image, part("atributes", b"age")))[2]
    assert "not second." in refusal(send(client, image, part("second", b"x", b'; filename="b"')))[2]
    assert "not faces." in refusal(send(client, image, query="?faces=1"))[2]
    assert "not faces." in refusal(client.post("/v1/analyze", json={"image": "AAAA", "faces": 1}))[2]
    assert "unknown: wings, tail;" in refusal(send(client, image, query="?attributes=age,wings,tail"))[2]
    hostile = refusal(send(client, image, query="?attributes=%3Cscript%3E"))[2]
    assert "script" not in hostile


def test_options_in_query_form_and_json_are_the_same(client: FlaskClient, astronaut: bytes) -> None:
    image, text = part("image", astronaut), base64.b64encode(astronaut).decode()
    answers = [
        send(client, image, query="?attributes=age&max_faces=1"),
        send(client, image, part("attributes", b"age"), part("max_faces", b"1")),
        send(client, image, part("attributes", b"age"), query="?max_faces=1"),
        client.post("/v1/analyze", json={"image": text, "attributes": "age", "max_faces": 1}),
        client.post("/v1/analyze", json={"image": text, "attributes": ["age"], "max_faces": "1"}),
    ]
    assert [[set(face) for face in faces(answer)] for answer in answers] == [[{"box", "confidence", "keypoints", "age"}]] * 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_faces", value) for value in ("0", "129", "1.5", "1e1", "", " 1", "+1", "many")),
        *(("min_confidence", value) for value in ("1.1", "-0.1", "nan", "inf", "half")),
        *(("min_face_px", value) for value in ("-1", "16385", "1.5")),
        *(("order", value) for value in ("", "age", "SIZE")),
    ],
)
def test_values_that_are_not_allowed(client: FlaskClient, astronaut: bytes, name: str, value: str) -> None:
    query = f"?{name}={value.replace('+', '%2B')}"
    assert refusal(send(client, part("image", astronaut), query=query)) == (400, "invalid_parameter", f"{name} must be {MUST_BE[name]}.")


def test_values_that_json_cannot_mean(client: FlaskClient) -> None:
    for name, value in (("max_faces", True), ("max_faces", None), ("attributes", 5), ("order", ["size"])):
        answer = client.post("/v1/analyze", json={"image": "AAAA", name: value})
        assert refusal(answer) == (400, "invalid_parameter", f"{name} must be {MUST_BE[name]}.")


def test_which_faces_come_back(client: FlaskClient, triton: FakeTriton, astronaut: bytes) -> None:
    real = triton.infer

    def infer(image: Any, outputs: tuple[str, ...]) -> Any:
        """Confidence .9, .775, .65; sides of 100, 140, 120 px."""
        tensors = real(image, outputs)
        tensors["BOXES"][:, 2:] = tensors["BOXES"][:, :2] + [[100], [140], [120]]
        return tensors

    triton.faces, triton.infer = 3, infer  # type: ignore[method-assign, assignment]

    def confidences(query: str) -> list[float]:
        answer = send(client, part("image", astronaut), query=query)
        assert answer.json is not None
        assert answer.json["faces_found"] == 3
        return [face["confidence"] for face in faces(answer)]

    assert confidences("") == [0.9, 0.775, 0.65]
    assert confidences("?min_confidence=.7") == [0.9, 0.775]
    assert confidences("?min_face_px=120") == [0.775, 0.65]
    assert confidences("?order=size") == [0.775, 0.65, 0.9]
    assert confidences("?order=size&max_faces=1") == [0.775]
    assert confidences("?order=confidence&max_faces=1&min_face_px=101") == [0.775]
    assert confidences("?min_confidence=1") == []


def test_all_attributes(client: FlaskClient, astronaut: bytes, offered: tuple[str, ...]) -> None:
    face = faces(send(client, part("image", astronaut), query="?attributes=all"))[0]
    assert set(face) == {"box", "confidence", "keypoints", *offered}


@pytest.mark.parametrize(("found", "truncated"), [(127, False), (128, True)])
def test_an_answer_that_may_be_cut_says_so(client: FlaskClient, triton: FakeTriton, astronaut: bytes, found: int, truncated: bool) -> None:
    triton.faces = found
    answer = send(client, part("image", astronaut), query="?attributes=&max_faces=2").json
    assert answer is not None
    assert (len(answer["faces"]), answer["faces_found"], answer.get("truncated", False)) == (2, found, truncated)


def test_the_limits_are_those_of_the_models() -> None:
    assert MOST_FACES == MAX_FACES
    assert MIN_SCORE == 0.5  # as AnalyzeOptions says


def test_options_are_documented_with_their_types(client: FlaskClient) -> None:
    document: Any = client.get("/openapi.json").json
    operation = document["paths"]["/v1/analyze"]["post"]
    parameters = {row["name"]: row["schema"] for row in operation["parameters"] if row["in"] == "query"}
    assert tuple(parameters) == OPTIONS
    assert all(schema.pop("examples") for name, schema in parameters.items() if name != "order")
    assert parameters["max_faces"] == {"type": "integer", "minimum": 1, "maximum": 128, "default": 128}
    assert parameters["min_confidence"] == {"type": "number", "minimum": 0, "maximum": 1, "default": 0}
    assert parameters["order"]["enum"] == ["confidence", "size"]
    assert parameters["attributes"] == {"type": "string"}
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert tuple(form) == ("image", *OPTIONS)
    assert set(OPTIONS) < set(document["components"]["schemas"]["ImageJson"]["properties"])


def test_forms_do_not_touch_the_disk(client: FlaskClient, app: Any, astronaut: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    app.config["MAX_CONTENT_LENGTH"] = 2**22
    for name in ("TemporaryFile", "SpooledTemporaryFile", "NamedTemporaryFile"):
        monkeypatch.setattr(tempfile, name, full)
        monkeypatch.setattr(f"werkzeug.formparser.{name}", full, raising=False)
    assert len(faces(send(client, part("image", astronaut + bytes(2**21), b'; filename="a.jpg"')))) == 2


@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left on device"), MemoryError()])
def test_no_space_is_no_defect(
    client: FlaskClient, triton: FakeTriton, astronaut: bytes, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def full(*_: object) -> None:
        raise problem

    monkeypatch.setattr(triton, "infer", full)
    answer = send(client, part("image", astronaut))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
