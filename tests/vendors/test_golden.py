"""Bodies built from the values of the source documents' examples: same keys, order, types and value conventions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from gateway.apis import rounding
from gateway.apis.vendors import ailabtools, arsa, coqnitics, machinesense
from gateway.faces import Analysis, Box, Distribution, Face, Timings
from tests.vendors.conftest import EMOTIONS, FIRST, SECOND, SMALL, FakeAnalyzer
from tests.vendors.routes import ANALYZER, ROUTES
from tests.vendors.test_contract import PHOTO

SEND = {route.path: route.send for route in ROUTES}


def analysis(*faces: Face, width: int = 1000, height: int = 800) -> Analysis:
    return Analysis(width, height, faces, {}, Timings(1, 2))


def gender(p_male: float) -> Distribution:
    return Distribution(("male", "female"), (p_male, 1 - p_male))


def emotion(**said: float) -> Distribution:
    return Distribution(EMOTIONS, tuple(said.get(name, 0.0) for name in EMOTIONS))


def text(body: Any) -> str:
    return json.dumps(body)


def test_arsa_default() -> None:
    face = replace(FIRST, box=Box(85, 62, 290, 310))
    assert text(arsa.render_analytics(analysis(face), "default", 5.0)) == (
        '{"status": "success", "faces": [{"age": 31.2, "gender": "male", "gender_probability": 0.96, "expression": "neutral", '
        '"bounding_box": [85, 62, 290, 310], "passive_liveness": {"is_real_face": true, "antispoof_score": 0.93}}]}'
    )


def test_arsa_docs() -> None:
    face = replace(FIRST, box=Box(120, 64, 450, 416), liveness=0.97)
    assert text(arsa.render_analytics(analysis(face), "docs", 189.23)) == (
        '{"status": "success", "face_count": 1, "faces": [{"age": 31.2, "gender": "male", "gender_probability": 0.96, '
        '"bbox": {"x1": 0.12, "y1": 0.08, "x2": 0.45, "y2": 0.52}, '
        '"passive_liveness": {"is_real_face": true, "liveness_probability": 0.97}}], "latency_ms": 189.23}'
    )


def test_arsa_superset_and_liveness() -> None:
    face = replace(FIRST, box=Box(120, 64, 450, 416), liveness=0.97)
    body = arsa.render_analytics(analysis(face), "superset", 189.23)
    assert list(body) == ["status", "faces", "face_count", "latency_ms"]
    assert list(body["faces"][0]) == ["age", "gender", "gender_probability", "expression", "bounding_box", "bbox", "passive_liveness"]
    assert list(body["faces"][0]["passive_liveness"]) == ["is_real_face", "antispoof_score", "liveness_probability"]
    assert text(arsa.render_liveness(analysis(face), 189.23)) == (
        '{"status": "success", "faces": [{"bbox": {"x1": 0.12, "y1": 0.08, "x2": 0.45, "y2": 0.52}, "is_real_face": true, '
        '"liveness_confidence": 0.97, "liveness_status": "real"}], "latency_ms": 189.23}'
    )


def test_arsa_no_face() -> None:
    assert arsa.render_analytics(analysis(), "default", 1.0) == {"status": "success", "faces": []}
    assert arsa.render_analytics(analysis(), "docs", 1.0)["face_count"] == 0


def test_arsa_asks_only_for_what_the_schema_holds(client: FlaskClient, analyzer: FakeAnalyzer) -> None:
    send = SEND["/api/v1/face_analytics"]
    send(client, PHOTO, None)
    assert set(analyzer.wanted) == {"age", "gender", "emotion", "liveness"}
    SEND["/api/v1/face_liveness"](client, PHOTO, None)
    assert set(analyzer.wanted) == {"liveness"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [({"fear": 0.9, "angry": 0.1}, "anger"), ({"disgust": 0.9, "sad": 0.1}, "sad"), ({"happy": 0.4, "neutral": 0.4}, "neutral")],
)
def test_arsa_knows_five_expressions(said: dict[str, float], expected: str) -> None:
    assert arsa.expression(emotion(**said)) == expected


def test_machinesense(client: FlaskClient, analyzer: FakeAnalyzer) -> None:
    analyzer.faces = (SECOND, replace(FIRST, age=30.5))  # FIRST is the larger face
    bodies = {path.split("_")[1]: send(client, PHOTO, None).text for path, send in SEND.items() if "faceapi" in path}
    assert bodies["age"] == '{"result":"Ok","code":0,"message":"","data":{"age":31}}'
    assert bodies["gender"] == '{"result":"Ok","code":0,"message":"","data":{"gender":"M","genderProbability":96}}'
    assert bodies["expression"] == (
        '{"result":"Ok","code":0,"message":"","data":{"neutral":50,"happy":11,"sad":12,"angry":5,"fearful":7,"disgusted":6,"surprised":9}}'
    )


@pytest.mark.parametrize("prefix", ["data:image/jpeg;base64,", "DATA:image/png;base64,", "\n "])
def test_machinesense_takes_data_urls_and_lost_padding(client: FlaskClient, prefix: str) -> None:
    import base64

    encoded = base64.b64encode(PHOTO).decode().rstrip("=")
    wrapped = prefix + "\n".join(encoded[i : i + 76] for i in range(0, len(encoded), 76))
    answer = client.post("/faceapi/v1/face_age_detection", data=json.dumps({"image": wrapped, "api_key": "x"}), content_type="text/plain")
    assert answer.json is not None
    assert answer.json["result"] == "Ok"


@pytest.mark.parametrize("body", ["", "[]", "{", "null", '"x"', "[" * 100_000])
def test_machinesense_body_that_is_no_object(client: FlaskClient, body: str) -> None:
    answer = client.post("/faceapi/v1/face_age_detection", data=body)
    assert answer.json == {"result": "Err", "code": 1, "message": "request body is not a JSON object", "data": {}}


def test_coqnitics() -> None:
    face = replace(
        FIRST, box=Box(296, 60, 385, 175), confidence=0.999996542930603, age=24.4, gender=gender(0.0),
        keypoints=((323, 107), (364, 108), (341, 131), (320, 145), (361, 147)),
    )  # fmt: skip
    body = coqnitics.render(analysis(face))
    assert list(body) == ["faces"]
    assert list(body["faces"][0]) == ["faceConfidence", "boundingBox", "age", "gender", "emotions", "landmarks"]
    assert text({k: v for k, v in body["faces"][0].items() if k != "emotions"}) == (
        '{"faceConfidence": 0.999996542930603, "boundingBox": {"x": 296, "y": 60, "w": 89, "h": 115}, "age": 24, '
        '"gender": {"value": "Female", "confidence": 100}, "landmarks": [{"type": "eyeLeft", "x": 323, "y": 107}, '
        '{"type": "eyeRight", "x": 364, "y": 108}, {"type": "nose", "x": 341, "y": 131}, {"type": "lipLeft", "x": 320, "y": 145}, '
        '{"type": "lipRight", "x": 361, "y": 147}]}'
    )
    assert list(body["faces"][0]["emotions"]) == list(EMOTIONS)
    assert coqnitics.render(analysis()) == {"faces": []}


def test_coqnitics_is_open_to_browsers(client: FlaskClient) -> None:
    asked = client.options("/analyze")
    assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert client.post("/analyze").headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Origin" not in client.post("/api/v1/face_analytics").headers


def test_ailabtools(client: FlaskClient, analyzer: FakeAnalyzer) -> None:
    analyzer.faces = (replace(FIRST, box=Box(120, 80, 310, 335)), SECOND, SMALL)
    body: Any = SEND[ANALYZER](client, PHOTO, None).json
    assert list(body) == ["request_id", "log_id", "error_code", "error_code_str", "error_msg", "error_detail", "data"]
    assert body["log_id"] == body["request_id"].upper()
    assert body["error_code"] == 0
    assert body["error_detail"] == {"status_code": 200, "code": "", "code_message": "", "message": ""}
    data = body["data"]
    assert list(data) == [
        "pupils", "gender_list", "expressions", "face_count", "landmarks", "landmark_count", "beauty_list", "hat_list",
        "face_probability_list", "glasses", "face_rectangles", "pose_list", "age_list", "dense_feature_length", "masks", "qualities",
    ]  # fmt: skip
    assert list(data["qualities"]) == [
        "score_list", "blur_list", "fnf_list", "glass_list", "illu_list", "mask_list", "noise_list", "pose_list",
    ]  # fmt: skip
    assert data["face_count"] == 2
    assert data["pupils"] == [170.5, 170.2, 8.01, 260.5, 171.0, 8.02] * 2
    assert data["landmarks"][:4] == [0.0, 0.25, 1.0, 1.25]
    assert len(data["landmarks"]) == 420
    scalars = {name: data[name] for name in data if name not in ("pupils", "landmarks", "qualities")}
    assert scalars == {
        "gender_list": [1, 0], "expressions": [0, 1], "face_count": 2, "landmark_count": 105, "beauty_list": [71.25, 55.5],
        "hat_list": [1, 1], "face_probability_list": [0.9987, 0.75], "glasses": [2, 2],
        "face_rectangles": [120, 80, 190, 255, 280, 45, 150, 205], "pose_list": [-1.8, 90.0, 0.5] * 2, "age_list": [31, 28],
        "dense_feature_length": 1024, "masks": [1, 1],
    }  # fmt: skip
    assert [values[0] for values in data["qualities"].values()] == [91.2, 96.0, 99.9, 98.7, 95.1, 99.0, 94.4, 91.3]


def test_ailabtools_takes_ten_faces_and_no_small_ones(client: FlaskClient, analyzer: FakeAnalyzer) -> None:
    analyzer.faces = (SMALL, *(replace(FIRST, confidence=0.99 - i / 100) for i in range(12)))
    body: Any = SEND[ANALYZER](client, PHOTO, None).json
    assert body["data"]["face_count"] == 10
    analyzer.faces = (SMALL,)
    answer = SEND[ANALYZER](client, PHOTO, None)
    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["error_detail"]["code"] == "ERROR_FACE_SIZE_RATIO_NOT_MET"


def test_ailabtools_without_some_models() -> None:
    bare = replace(FIRST, landmarks=None, pupils=None, beauty=None, quality=None, glasses=None, hat=None)
    data = ailabtools.render([bare], analysis(bare))
    assert all(data[name] == [] for name in ("landmarks", "pupils", "beauty_list", "glasses", "hat_list"))
    assert data["landmark_count"] == 0
    assert all(values == [] for values in data["qualities"].values())
    assert data["masks"] == [1]


probabilities = st.floats(0, 1)


@given(probabilities)
def test_stated_gender_is_at_least_half(p_male: float) -> None:
    face = replace(FIRST, gender=gender(p_male))
    assert arsa.render_analytics(analysis(face), "default", 0)["faces"][0]["gender_probability"] >= 0.5
    said = machinesense.render_gender(face)
    assert 50 <= said["genderProbability"] <= 100
    assert said["gender"] == ("M" if p_male >= 0.5 else "F")
    confidence = coqnitics.render(analysis(face))["faces"][0]["gender"]["confidence"]
    assert 50 <= confidence <= 100
    assert isinstance(confidence, int) == (confidence == int(confidence))


@given(st.floats(-50, 150))
def test_ages_are_rounded_half_up_and_limited(age: float) -> None:
    face = replace(FIRST, age=age)
    assert 0 <= arsa.render_analytics(analysis(face), "default", 0)["faces"][0]["age"] <= 100
    assert ailabtools.render([face], analysis(face))["age_list"] == [min(100, max(0, rounding.whole(age)))]
    assert machinesense.render_age(face)["age"] == max(0, rounding.whole(age))


@given(st.floats(-1e6, 1e6))
def test_whole_is_half_up(value: float) -> None:
    assert value - 0.5 <= rounding.whole(value) <= value + 0.5


@given(*[st.floats(-500, 1500)] * 4, st.integers(1, 900), st.integers(1, 900))
def test_corners_stay_inside_and_span_a_pixel(x1: float, y1: float, x2: float, y2: float, width: int, height: int) -> None:
    box = Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    a, b, c, d = rounding.corners(box, width, height)
    assert 0 <= a < c <= width
    assert 0 <= b < d <= height
