from __future__ import annotations

import io
import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from gateway.apis.services import KEY
from gateway.apis.vendors import scaleflex
from gateway.faces import Analysis, Box, Distribution, Timings
from gateway.pictures.drawing import annotate
from gateway.pictures.folder import Directory
from tests.vendors.conftest import EMOTIONS, FIRST, RACES, SECOND, FakeAnalyzer
from tests.vendors.routes import PUBLISHED, by_url, upload
from tests.vendors.test_contract import PHOTO

EXAMPLE = """{"box": [467, 269, 576, 416],
 "emotions": {"angry": 0.07, "disgust": 0.03, "fear": 0.02, "happy": 98.85, "sad": 0.3, "surprise": 0.58, "neutral": 0.16},
 "dominant_emotion": "happy",
 "races": {"asian": 0.89, "indian": 3.23, "black": 0.42, "white": 34.26, "middle eastern": 31.55, "latino hispanic": 29.64},
 "dominant_race": "white", "age": 34, "gender": "Male"}"""


def test_face_is_the_vendors_example() -> None:
    face = replace(
        FIRST, box=Box(467.2, 268.9, 575.6, 416.0), age=33.7,
        emotion=Distribution(EMOTIONS, (0.0007, 0.0003, 0.0002, 0.9885, 0.003, 0.0058, 0.0016)),
        race=Distribution(RACES, (0.0089, 0.0323, 0.0042, 0.3426, 0.3155, 0.2964)),
    )  # fmt: skip
    body = scaleflex.render_faces(Analysis(1280, 720, (face,), {}, Timings(1, 1)), landmarks=False)
    assert json.dumps(body["face_0"]) == json.dumps(json.loads(EXAMPLE))


def test_upload_in_full(client: FlaskClient, analyzer: FakeAnalyzer) -> None:
    analyzer.faces = (FIRST, SECOND)
    body: Any = upload(client, PHOTO, None).json
    assert list(body) == ["status", "version", "request_uuid", "result", "faces", "file_downloaded"]
    assert (body["status"], body["version"], body["file_downloaded"]) == ("success", "2.9.3", "photo.jpg")
    assert str(uuid.UUID(body["request_uuid"], version=4)) == body["request_uuid"]
    assert list(body["faces"]) == ["face_0", "face_1"]
    assert body["result"] == f"http://localhost/deliver/public/{body['request_uuid']}.png"
    picture = client.get(body["result"])
    assert (picture.status_code, picture.mimetype) == (200, "image/png")
    assert Image.open(io.BytesIO(picture.data)).size == (640, 480)
    assert client.get(body["result"].replace("public", "other")).status_code == 404


@pytest.mark.parametrize("host", ["evil.example/path?", "a b", "<script>"])
def test_a_host_that_is_none_does_not_reach_the_link(client: FlaskClient, host: str) -> None:
    data = {"file": (io.BytesIO(PHOTO), "photo.jpg")}
    body: Any = client.post("/images/face-analysis/upload", data=data, headers={"Host": host}).json
    assert body["result"].startswith("http://localhost:80/deliver/public/")


def test_landmarks_on_request(client: FlaskClient) -> None:
    data = {"file": (io.BytesIO(PHOTO), "photo.jpg")}
    body: Any = client.post("/images/face-analysis/upload/?landmarks=1", data=data).json
    face = body["faces"]["face_0"]
    assert list(face)[:2] == ["box", "landmarks"]
    points = {"left_eye": [130, 151], "right_eye": [221, 152], "nose": [178, 200], "mouth_left": [141, 250], "mouth_right": [216, 253]}
    assert face["landmarks"] == points


def test_name_of_a_url_is_its_last_segment(client: FlaskClient) -> None:
    PUBLISHED["https://pictures.test/x/gr%C3%BCn%20a.jpg?b=/c.png"] = PHOTO
    body: Any = client.post("/images/face-analysis", json={"url": "https://pictures.test/x/gr%C3%BCn%20a.jpg?b=/c.png"}).json
    assert body["file_downloaded"] == "grün a.jpg"
    assert by_url(client, PHOTO, None).status_code == 201


def test_several_files_fail_alone(client: FlaskClient) -> None:
    PUBLISHED["https://pictures.test/good.jpg"] = PHOTO
    urls = ["https://pictures.test/good.jpg", "https://pictures.test/gone.jpg", "http://["]
    answer = client.post("/images/face-analysis", json={"files_urls": [{"url": url} for url in urls]})
    body: Any = answer.json
    assert answer.status_code == 201
    assert list(body) == ["status", "version", "result"]
    good, gone, broken = body["result"]
    assert list(good) == ["request_uuid", "result", "faces", "file_downloaded"]
    assert list(gone) == ["request_uuid", "status", "msg", "hint", "code", "file_downloaded"]
    assert (gone["status"], gone["code"], gone["file_downloaded"]) == ("error", "FILE_DOWNLOAD_FAILED", "gone.jpg")
    assert broken["code"] == "FILE_DOWNLOAD_FAILED"


def test_all_failed_is_the_first_error(client: FlaskClient) -> None:
    urls = [{"url": "https://pictures.test/gone.jpg"}, {"url": "https://pictures.test/too.jpg"}]
    answer = client.post("/images/face-analysis", json={"files_urls": urls})
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["code"] == "FILE_DOWNLOAD_FAILED"


@pytest.mark.parametrize("body", [{}, [], {"url": 5}, {"files_urls": []}, {"files_urls": "x"}, {"files_urls": [{"link": "x"}]}])
def test_no_url(client: FlaskClient, body: Any) -> None:
    answer = client.post("/images/face-analysis", json=body)
    assert (answer.status_code, answer.json and answer.json["code"]) == (400, "FILE_MISSING")


def test_too_many(client: FlaskClient) -> None:
    answer = client.post("/images/face-analysis", json={"files_urls": [{"url": "https://a.test/b"}] * 11})
    assert (answer.status_code, answer.json and answer.json["code"]) == (400, "TOO_MANY_FILES")


def test_fetching_is_off_by_default(client: FlaskClient, app: Flask) -> None:
    from gateway.pictures.fetch import Fetcher

    services = app.extensions[KEY]
    app.extensions[KEY] = replace(services, fetcher=Fetcher(services.settings))
    answer = client.post("/images/face-analysis", json={"url": "https://example.com/a.jpg"})
    assert (answer.status_code, answer.json and answer.json["code"]) == (400, "FILE_DOWNLOAD_FAILED")


def test_pictures_expire_and_are_bounded(tmp_path: Path) -> None:
    brief = Directory(tmp_path / "brief", 10**6, 0)
    brief.put("a/b.png", b"png")
    assert brief.get("a/b.png") is None
    small = Directory(tmp_path / "small", 200_000, 60)
    for number in range(40):
        small.put(f"{number}.png", bytes(20_000))
    assert small.get("39.png") is not None
    assert small.get("0.png") is None
    assert sum(path.stat().st_size for path in (tmp_path / "small").rglob("*.val")) < 260_000


def test_a_picture_store_that_fails_is_said(client: FlaskClient, app: Flask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    app.extensions[KEY] = replace(app.extensions[KEY], pictures=Directory(tmp_path / "file", 10**6, 60))
    answer = upload(client, PHOTO, None)
    assert (answer.status_code, answer.json and answer.json["code"]) == (503, "SERVICE_UNAVAILABLE")


@pytest.mark.parametrize("size", [(33, 40), (640, 480), (6000, 200)])
def test_drawing_keeps_the_size_and_marks_the_box(size: tuple[int, int]) -> None:
    pixels = np.full((size[1], size[0], 3), 128, np.uint8)
    box = Box(size[0] * 0.3, size[1] * 0.2, size[0] * 0.6, size[1] * 0.7)
    drawn = np.asarray(Image.open(io.BytesIO(annotate(pixels, [box], [["face_0", "Female, 31", "happy"]]))))
    assert drawn.shape == pixels.shape
    changed = (drawn != pixels).any(2)
    assert changed[int(box.y1) - 1 : int(box.y1) + 3, int((box.x1 + box.x2) / 2)].any()
    assert annotate(pixels, [], []) != annotate(pixels, [box], [["x"]])
