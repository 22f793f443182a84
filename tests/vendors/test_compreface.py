"""CompreFace: golden bodies, its parameters, and its own Python SDK against a served gateway."""

from __future__ import annotations

import ast
import base64
import io
import json
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.serving import make_server

from gateway.apis.vendors import compreface, vendor_of
from gateway.callers.keys import KeyStore
from gateway.faces import AGE_IN_RANGE, Analysis, Box, Face, Pose, Timings
from gateway.models import read_catalogue
from tests.compreface_sdk import CompreFace
from tests.served import ROOT
from tests.vendors.conftest import FIRST, SECOND, SMALL, FakeAnalyzer
from tests.vendors.routes import DETECT
from tests.vendors.test_contract import PHOTO

ALL = "age,gender,landmarks,mask,pose"
LABELS = ["age", "gender", "pose", "box", "landmarks", "mask"]


def body(client: FlaskClient, query: str = "", status: int = 200) -> Any:
    answer = client.post(f"{DETECT}{query}", data={"file": (io.BytesIO(PHOTO), "photo.jpg")})
    assert answer.status_code == status, answer.text
    return answer.json


def rendered(*faces: Face, **query: Any) -> dict[str, Any]:
    return compreface.render(Analysis(1000, 800, faces, {}, Timings(1, 130)), compreface.CompreFaceQuery(**query))


def test_golden() -> None:
    face = replace(
        FIRST, box=Box(68.2, 76.8, 376.4, 478.9), confidence=0.9987509250640869, age_range=(25.4, 31.2), pose=Pose(12.5, -3.25, 0.0),
        keypoints=((156.2, 245.1), (277.0, 252.9), (202.4, 310.6), (148.0, 358.0), (274.0, 365.0)),
    )  # fmt: skip
    assert json.dumps(rendered(face, face_plugins=ALL)) == (
        '{"result": [{"age": {"probability": 0.8, "high": 32, "low": 25}, "gender": {"probability": 0.96, "value": "male"}, '
        '"pose": {"pitch": 3.25, "roll": 0.0, "yaw": -12.5}, '
        '"box": {"probability": 0.9987509250640869, "x_max": 376, "y_max": 479, "x_min": 68, "y_min": 77}, '
        '"landmarks": [[156, 245], [277, 253], [202, 311], [148, 358], [274, 365]], '
        '"mask": {"probability": 0.8, "value": "with_mask"}}]}'
    )


def test_only_boxes_without_plugins(client: FlaskClient, analyzer: FakeAnalyzer) -> None:
    assert body(client) == {"result": [{"box": {"probability": 0.99871, "x_max": 290, "y_max": 310, "x_min": 85, "y_min": 62}}]}
    assert analyzer.wanted == ()


@pytest.mark.parametrize(
    ("plugins", "fields", "wanted"),
    [
        (ALL, LABELS, {"age_range", "gender", "pose", "mask"}),
        ("gender, age", ["age", "gender", "box"], {"age_range", "gender"}),
        ("landmarks", ["box", "landmarks"], set()),
        ("no-such-plugin,,mask", ["box", "mask"], {"mask"}),
    ],
)
def test_plugins(client: FlaskClient, analyzer: FakeAnalyzer, plugins: str, fields: list[str], wanted: set[str]) -> None:
    assert list(body(client, f"?face_plugins={plugins}")["result"][0]) == fields
    assert set(analyzer.wanted) == wanted


@pytest.mark.parametrize(("plugin", "said"), [("calculator", "no face recognition"), ("landmarks2d106", "105 landmarks")])
def test_plugins_that_are_refused(client: FlaskClient, plugin: str, said: str) -> None:
    refused = body(client, f"?face_plugins=age,{plugin}", 400)
    assert refused["code"] == 26
    assert said in refused["message"]


@pytest.mark.parametrize("query", ["", "?limit=0", "?limit=", "?limit=500&det_prob_threshold=", "?status=false&unknown=1"])
def test_largest_faces_first(client: FlaskClient, analyzer: FakeAnalyzer, query: str) -> None:
    analyzer.faces = (SECOND, FIRST, SMALL)
    assert [face["box"]["x_min"] for face in body(client, query)["result"]] == [85, 280, 10]


def test_limit_and_threshold(client: FlaskClient, analyzer: FakeAnalyzer) -> None:
    analyzer.faces = (FIRST, SECOND, SMALL)  # 0.99871, 0.75, 0.7
    assert len(body(client, "?limit=2")["result"]) == 2
    assert len(body(client, "?det_prob_threshold=0.75")["result"]) == 2
    assert body(client, "?det_prob_threshold=0.999", 400) == {"message": "No face is found in the given image", "code": 28}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        *((f"limit={value}", "Limit should be equal or greater than 0") for value in ("-1", "two", "1.5")),
        *((f"det_prob_threshold={value}", "det_prob_threshold should be between 0.0 and 1.0") for value in ("1.1", "-0.1", "nan", "high")),
        ("status=perhaps", "status should be true or false"),
    ],
)
def test_values_that_are_refused(client: FlaskClient, query: str, message: str) -> None:
    assert body(client, f"?{query}", 400) == {"message": message, "code": 26}


@pytest.mark.parametrize("status", ["true", "True", "1"])
def test_status(client: FlaskClient, analyzer: FakeAnalyzer, status: str) -> None:
    """The fake analysis takes 2 ms for two faces."""
    analyzer.faces = (FIRST, SECOND)
    said = body(client, f"?status={status}&face_plugins=mask,age,landmarks")
    assert list(said) == ["result", "plugins_versions"]
    assert list(said["result"][0]) == ["age", "box", "landmarks", "mask", "execution_time"]
    assert [face["execution_time"] for face in said["result"]] == [{"detector": 1.0}, {"detector": 1.0}]
    versions = read_catalogue(ROOT / "model_repository").versions
    names = {"age": "face_demographics", "mask": "face_accessories", "detector": "face_detector"}
    assert said["plugins_versions"] == {plugin: f"{name}@{versions[name]}" for plugin, name in names.items()}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{}", 5),
        ('{"file": null}', 5),
        ('{"file": ""}', 5),
        ('{"file": 7}', 5),
        ('{"file": "data:image/png;base64,AAAA"}', 21),
        ("[]", 0),
        ("{", 0),
    ],
)
def test_json_that_is_refused(client: FlaskClient, sent: str, code: int) -> None:
    answer: Any = client.post(DETECT, data=sent, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (400, code)
    assert (answer.json["message"] == "Provided value is not Base64") == (code == 21)


def test_base64_with_line_ends_and_without_padding(client: FlaskClient) -> None:
    text = base64.encodebytes(PHOTO).decode().rstrip("=\n")
    answer: Any = client.post(f"{DETECT}?face_plugins=gender", json={"file": text})
    assert answer.json["result"][0]["gender"] == {"probability": 0.96, "value": "male"}


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/api/v1/recognition/recognize", "Recognition"),
        ("/api/v1/recognition/faces", "Recognition"),
        ("/api/v1/verification/verify", "Verification"),
    ],
)
def test_services_that_are_not_installed(client: FlaskClient, path: str, service: str) -> None:
    for answer in (client.post(path), client.get(path)):
        assert answer.status_code == 404
        assert answer.json == {"message": f"{service} service is not installed: Vultus describes faces, it recognises nobody", "code": 10}


def test_paths_of_two_vendors_under_one_prefix() -> None:
    owners = {path: vendor_of(path) for path in ("/api/v1/face_analytics", "/api/v1/detection/x", "/api/v1/recognition/faces", "/v1/x")}
    assert [owner and owner.name for owner in owners.values()] == ["arsa", "compreface", "compreface", None]


def test_browsers_of_any_origin(client: FlaskClient) -> None:
    asked = client.options(DETECT)
    assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert "x-api-key" in asked.headers["Access-Control-Allow-Headers"]
    assert client.post(DETECT).headers["Access-Control-Allow-Origin"] == "*"


def test_both_bodies_are_documented(client: FlaskClient) -> None:
    document: Any = client.get("/openapi.json").json
    content = document["paths"][DETECT]["post"]["requestBody"]["content"]
    formats = {kind: about["schema"]["properties"]["file"].get("format") for kind, about in content.items()}
    assert formats == {"multipart/form-data": "binary", "application/json": None}


def test_share_in_the_age_range_is_that_of_training() -> None:
    tree = ast.parse((ROOT / "scripts" / "train" / "demographics.py").read_text())
    values = [node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "IN_RANGE"]
    assert [ast.literal_eval(value) for value in values] == [AGE_IN_RANGE]


@given(st.tuples(st.floats(0, 120), st.floats(0, 120)).map(sorted))
def test_whole_years_hold_the_range(ends: list[float]) -> None:
    age = rendered(replace(FIRST, age_range=(ends[0], ends[1])), face_plugins="age")["result"][0]["age"]
    assert age["low"] <= ends[0] <= ends[1] <= age["high"]
    assert (math.ceil(ends[1]), math.floor(ends[0])) == (age["high"], age["low"])


@pytest.fixture
def sdk(app: Flask) -> Iterator[tuple[str, str]]:
    """Domain and port, as the SDK takes them."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield "http://127.0.0.1", str(server.server_port)
    server.shutdown()
    thread.join()
    server.server_close()


def test_sdk_detects(sdk: tuple[str, str], analyzer: FakeAnalyzer) -> None:
    analyzer.faces = (SECOND, FIRST)
    options = {"limit": 1, "det_prob_threshold": 0.8, "face_plugins": "age,gender,landmarks,mask", "status": True}
    said = CompreFace(*sdk, options).init_face_detection("any key").detect(PHOTO)
    (face,) = said["result"]
    assert face["age"] == {"probability": 0.8, "high": 39, "low": 24}
    assert face["gender"]["value"] == "male"
    assert face["mask"]["value"] == "with_mask"
    assert face["landmarks"][0] == [130, 151]
    assert said["plugins_versions"]["detector"].startswith("face_detector@")


# The SDK leaves the file open.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_sdk_sends_a_file(sdk: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a photo.jpg"
    path.write_bytes(PHOTO)
    said = CompreFace(*sdk).init_face_detection("any key").detect(str(path), {"face_plugins": "gender"})
    assert list(said["result"][0]) == ["gender", "box"]


def test_sdk_reads_errors(sdk: tuple[str, str], store: KeyStore, analyzer: FakeAnalyzer) -> None:
    issued = store.create("compreface", "sdk")
    analyzer.faces = ()
    assert CompreFace(*sdk).init_face_detection("wrong").detect(PHOTO)["code"] == 10
    assert CompreFace(*sdk).init_face_detection(issued.secret).detect(PHOTO)["code"] == 28
    refused = CompreFace(*sdk, {"face_plugins": "calculator"}).init_face_detection(issued.secret).detect(PHOTO)
    assert "no face recognition is installed" in refused["message"]


def test_sdk_hears_that_recognition_is_not_installed(sdk: tuple[str, str]) -> None:
    said = CompreFace(*sdk).init_face_recognition("any key").recognize(PHOTO)
    assert said["code"] == 10
    said = CompreFace(*sdk).init_face_verification("any key").verify(PHOTO, PHOTO)
    assert said["message"].startswith("Verification service is not installed")
