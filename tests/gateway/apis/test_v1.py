from __future__ import annotations

import base64
import io
import json
import logging
import re
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.apis.services import KEY
from gateway.callers.keys import KeyStore
from gateway.errors import ModelContractError, UpstreamOverloaded, UpstreamTimeout, UpstreamUnavailable
from gateway.inference.analyzer import Analyzer
from gateway.models import GEOMETRY
from gateway.v1_schema import AnalysisOut
from tests.conftest import FakeTriton


def post(client: FlaskClient, data: bytes, query: str = "", **options: Any) -> Any:
    return client.post(f"/v1/analyze{query}", data=data, content_type="image/jpeg", **options)


def test_three_kinds_of_body_give_the_same_faces(client: FlaskClient, astronaut: bytes) -> None:
    text = base64.b64encode(astronaut).decode()
    answers = [
        post(client, astronaut),
        client.post("/v1/analyze", data={"image": (io.BytesIO(astronaut), "photo.jpg")}),
        client.post("/v1/analyze", json={"image": text}),
        client.post("/v1/analyze", json={"image": f"data:image/jpeg;base64,{text}"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({json.dumps(answer.json["faces"]) for answer in answers}) == 1


def test_answer_in_full(client: FlaskClient, astronaut: bytes) -> None:
    answer = post(client, astronaut, headers={"X-Request-ID": "abc-1"})
    AnalysisOut.model_validate_json(answer.data)
    body = answer.json
    assert list(body) == ["request_id", "image", "faces", "faces_found", "models", "timings_ms"]
    assert body["request_id"] == answer.headers["X-Request-ID"] == "abc-1"
    assert body["image"] == {"width": 512, "height": 512}
    first, second = body["faces"]
    expected = {
        "box": {"x1": 10.2, "y1": 20.5, "x2": 110.8, "y2": 160.0},
        "confidence": 0.9,
        "keypoints": {
            "left_eye": [40.0, 43.0],
            "right_eye": [46.0, 49.0],
            "nose": [52.0, 55.0],
            "mouth_left": [58.0, 61.0],
            "mouth_right": [64.0, 67.0],
        },
        "age": 31.5,
        "gender": {"value": "female", "probability": 0.75},
        "emotion": {
            "dominant": "happy",
            "probabilities": {"angry": 0.01, "disgust": 0.02, "fear": 0.03, "happy": 0.6, "sad": 0.14, "surprise": 0.09, "neutral": 0.11},
        },
        "race": {
            "dominant": "black",
            "probabilities": {"asian": 0.05, "indian": 0.1, "black": 0.4, "white": 0.2, "middle eastern": 0.15, "latino hispanic": 0.1},
        },
        "liveness": {"score": 0.625, "is_real": True},
        "glasses": {"value": "regular", "probabilities": {"none": 0.2, "regular": 0.7, "sun": 0.1}},
        "mask": {"value": "worn wrongly", "probabilities": {"none": 0.15, "worn": 0.25, "worn wrongly": 0.6}},
        "hat": {"value": "hat", "probability": 0.65},
        "quality": {
            "overall": 81,
            "blur": 82,
            "face": 83,
            "upper_occlusion": 84,
            "illumination": 85,
            "lower_occlusion": 86,
            "noise": 87,
            "pose": 88,
        },
        "pose": {"yaw": -12.5, "pitch": 7.2, "roll": 3.5},
        "landmarks": [[0.5 + i, 1.5 + i] for i in range(0, 210, 2)],
        "pupils": {"left": {"x": 41.0, "y": 44.0, "radius": 3.5}, "right": {"x": 47.0, "y": 50.0, "radius": 4.5}},
    }
    assert {name: first[name] for name in expected} == expected
    assert (second["confidence"], second["age"], second["liveness"]["is_real"]) == (0.775, 32.5, False)


def test_some_attributes_come_only_when_asked_for(client: FlaskClient, astronaut: bytes) -> None:
    assert "beauty" not in post(client, astronaut).json["faces"][0]
    assert post(client, astronaut, "?attributes=beauty").json["faces"][0]["beauty"] == 55.5


def test_no_face_is_an_empty_list(client: FlaskClient, triton: FakeTriton, astronaut: bytes) -> None:
    triton.faces = 0
    answer = post(client, astronaut)
    assert (answer.status_code, answer.json["faces"]) == (200, [])


def test_only_the_wanted_tensors_are_asked_for(client: FlaskClient, triton: FakeTriton, astronaut: bytes) -> None:
    answer = post(client, astronaut, "?attributes=age")
    assert triton.asked == (*GEOMETRY, "AGE")
    assert set(answer.json["faces"][0]) == {"box", "confidence", "keypoints", "age"}
    assert set(answer.json["models"]) == {"face_detector", "face_demographics"}


def test_no_attribute_at_all(client: FlaskClient, triton: FakeTriton, astronaut: bytes) -> None:
    assert post(client, astronaut, "?attributes=").status_code == 200
    assert triton.asked == GEOMETRY


def test_an_attribute_without_a_model_is_absent(app: Flask, client: FlaskClient, astronaut: bytes, triton: FakeTriton) -> None:
    services = app.extensions[KEY]
    models = tuple(model for model in services.catalogue.attribute_models if model.name != "face_liveness")
    analyzer = Analyzer(triton, replace(services.catalogue, attribute_models=models))
    app.extensions[KEY] = replace(services, analyzer=analyzer)
    assert "liveness" not in post(client, astronaut).json["faces"][0]
    assert set(post(client, astronaut, "?attributes=liveness,age").json["faces"][0]) == {"box", "confidence", "keypoints", "age"}
    said = client.post("/api/v1/face_liveness", data={"face_image": (io.BytesIO(astronaut), "a.jpg")})
    assert (said.status_code, said.json) == (503, {"detail": "Service unavailable"})


def test_max_faces_keeps_the_most_confident(client: FlaskClient, astronaut: bytes) -> None:
    faces = post(client, astronaut, "?max_faces=1").json["faces"]
    assert [face["confidence"] for face in faces] == [0.9]


def test_a_reduced_picture_is_answered_in_original_pixels(client: FlaskClient, triton: FakeTriton) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (3200, 2400)).save(buffer, "JPEG")
    body = post(client, buffer.getvalue()).json
    assert triton.shape == (1200, 1600, 3)
    assert body["image"] == {"width": 3200, "height": 2400}
    assert body["faces"][0]["box"] == {"x1": 20.5, "y1": 41.0, "x2": 221.5, "y2": 320.0}


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"data": b"", "content_type": "image/jpeg"}, 400, "empty_image"),
        ({"data": {"photo": (io.BytesIO(b"x"), "a.jpg")}}, 400, "missing_image"),
        ({"data": {"image": (io.BytesIO(b"hello"), "a.jpg")}}, 415, "unrecognised_image"),
        ({"data": b"hello", "content_type": "image/jpeg"}, 415, "unrecognised_image"),
        ({"data": b"hello", "content_type": "text/plain"}, 415, "unsupported_image"),
        ({"json": {"image": "?*not base64"}}, 400, "malformed_body"),
        ({"json": ["image"]}, 400, "malformed_body"),
        ({"json": {"picture": "x"}}, 400, "missing_image"),
        ({"json": {"image": 5}}, 400, "missing_image"),
        ({"data": b"{", "content_type": "application/json"}, 400, "malformed_body"),
        ({"data": b"x" * (2**18 + 1), "content_type": "image/jpeg"}, 413, "body_too_large"),
        ({"data": {"image": (io.BytesIO(b"x" * (2**18 + 1)), "a.jpg")}}, 413, "body_too_large"),
        ({"data": b"x", "content_type": "image/jpeg", "query_string": "attributes=age,wings"}, 400, "invalid_parameter"),
        ({"data": b"x", "content_type": "image/jpeg", "query_string": "max_faces=0"}, 400, "invalid_parameter"),
        ({"data": b"x", "content_type": "image/jpeg", "query_string": "max_faces=1e3"}, 400, "invalid_parameter"),
        ({"data": b"x", "content_type": "image/jpeg", "query_string": "faces=1"}, 400, "invalid_parameter"),
    ],
)
def test_bad_input_is_a_problem(client: FlaskClient, options: dict[str, Any], status: int, code: str) -> None:
    answer = client.post("/v1/analyze", **options)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert answer.json is not None
    assert (answer.json["status"], answer.json["code"]) == (status, code)
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    assert "hello" not in answer.text


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (UpstreamUnavailable(retry_after_s=1), 503, "1"),
        (UpstreamOverloaded(retry_after_s=2), 503, "2"),
        (UpstreamTimeout(), 504, None),
        (ModelContractError(), 500, None),
    ],
)
def test_triton_failures_are_problems(
    client: FlaskClient, triton: FakeTriton, astronaut: bytes, error: Any, status: int, retry: str | None
) -> None:
    triton.failure = error
    answer = post(client, astronaut)
    assert (answer.status_code, answer.json["code"], answer.headers.get("Retry-After")) == (status, error.code, retry)


def test_a_defect_shows_nothing_of_itself(
    client: FlaskClient, triton: FakeTriton, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton, "infer", lambda *_: 1 / 0)
    answer = post(client, astronaut)
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert "division" not in answer.text


def test_routing_errors_are_problems(client: FlaskClient) -> None:
    missing, wrong = client.get("/v1/nowhere"), client.get("/v1/analyze")
    assert (missing.status_code, missing.json and missing.json["code"]) == (404, "unknown_path")
    assert (wrong.status_code, wrong.json and wrong.json["code"], wrong.headers["Allow"]) == (405, "method_not_allowed", "OPTIONS, POST")


def test_attributes_lists_what_is_offered(client: FlaskClient, offered: tuple[str, ...]) -> None:
    body = client.get("/v1/attributes").json
    assert body is not None
    assert tuple(row["name"] for row in body["attributes"]) == offered
    assert all(row["version"] and row["licence"] and row["unit"] for row in body["attributes"])


def test_probes(client: FlaskClient, triton: FakeTriton) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    triton.ready = False
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_readiness_compares_the_served_tensors(client: FlaskClient, triton: FakeTriton, monkeypatch: pytest.MonkeyPatch) -> None:
    other = triton.served_config("face_expression")
    other.output[0].dims[0] = 8
    original = triton.served_config
    monkeypatch.setattr(triton, "served_config", lambda model: other if model == "face_expression" else original(model))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "face_expression" in answer.text


def test_one_log_line_without_a_person_in_it(client: FlaskClient, astronaut: bytes, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("vultus")
    logger.addHandler(caplog.handler)
    post(client, astronaut, headers={"X-Request-ID": "line-1"})
    logger.removeHandler(caplog.handler)
    (record,) = caplog.records
    fields = vars(record)
    said = tuple(fields[name] for name in ("request_id", "method", "route", "status", "bytes_in"))
    assert said == ("line-1", "POST", "/v1/analyze", 200, len(astronaut))
    assert not {"age", "gender", "emotion", "race"} & set(fields)


def test_a_strange_request_id_is_replaced(client: FlaskClient) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "a b\tc"}).headers["X-Request-ID"].isalnum()


def test_metrics_count_requests(client: FlaskClient, astronaut: bytes) -> None:
    post(client, astronaut)
    text = client.get("/metrics").text
    assert 'vultus_requests_total{api="vultus",method="POST",route="/v1/analyze",status="200"}' in text
    assert 'vultus_stage_seconds_count{stage="inference"}' in text
    assert "vultus_faces_per_image_bucket" in text


def test_openapi_describes_every_route(client: FlaskClient, app: Any) -> None:
    document = client.get("/openapi.json").json
    assert document is not None
    pages = re.compile(r"/$|/docs|/web/")
    rules = {rule.rule.replace("<", "{").replace(">", "}") for rule in app.url_map.iter_rules() if not pages.match(rule.rule)}
    undocumented = rules - set(document["paths"])
    assert undocumented == set()
    assert set(document["paths"]["/v1/analyze"]["post"]["requestBody"]["content"]) == {"multipart/form-data", "image/*", "application/json"}


def test_docs_need_no_other_host(client: FlaskClient) -> None:
    page = client.get("/docs").text
    assert "http" not in page
    for name in ("css/swagger-ui.css", "js/swagger-ui-bundle.js", "start.js", "images/swagger.svg"):
        assert f"docs/{name}" in page
        with client.get(f"/docs/{name}") as answer:
            assert answer.status_code == 200
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    policy = client.get("/docs").headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "<script>" not in page
    assert "frame-ancestors 'none'" in policy


def test_a_key_is_needed_once_one_exists(app: Any, client: FlaskClient, astronaut: bytes) -> None:
    assert post(client, astronaut).status_code == 200
    issued = KeyStore(app.extensions[KEY].settings.keys_url).create("vultus", "test", monthly_quota=1)
    missing, wrong = post(client, astronaut), post(client, astronaut, headers={"X-API-Key": "0" * 40})
    assert (missing.status_code, missing.json["code"]) == (401, "key_missing")
    assert (wrong.status_code, wrong.json["code"]) == (401, "key_invalid")
    assert post(client, astronaut, headers={"X-API-Key": issued.secret}).status_code == 200
    over = post(client, astronaut, headers={"X-API-Key": issued.secret})
    assert (over.status_code, over.json["code"]) == (429, "quota_exceeded")
    assert int(over.headers["Retry-After"]) > 0


def test_urls_are_off_unless_enabled(client: FlaskClient) -> None:
    answer = client.post("/v1/analyze", json={"url": "https://example.com/a.jpg"})
    assert (answer.status_code, answer.json and answer.json["code"]) == (400, "download_failed")


@pytest.mark.parametrize(("path", "body"), [("/nothing", {"detail": "Not Found"}), ("/v2/analyze", {"detail": "Not Found"})])
def test_paths_of_nobody(client: FlaskClient, path: str, body: dict[str, str]) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json) == (404, body)
