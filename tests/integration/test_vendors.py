"""The vendors' routes on the real models."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.apis.rounding import whole
from gateway.callers.keys import KeyStore
from tests.conftest import encode
from tests.integration.test_analysis import box, composite
from tests.served import Served, request, start, stop


def form(served: Served, path: str, field: str, image: bytes, **headers: str) -> tuple[int, Any]:
    mark = uuid.uuid4().hex
    head = f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; filename="photo.jpg"\r\n\r\n'.encode()
    data = head + image + f"\r\n--{mark}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    return request(urllib.request.Request(served.base + path, data=data, headers=kind | headers))


@pytest.fixture(scope="module")
def three(astronaut_pixels: NDArray[np.uint8]) -> bytes:
    return encode(composite(astronaut_pixels, 3, 100, 180)[0], ".png")


def test_all_vendors_agree(served: Served, three: bytes) -> None:
    faces = served.post(three, kind="image/png")[1]["faces"]
    assert len(faces) == 3
    boxes = [[whole(v) for v in box(face)] for face in faces]
    ages = [face["age"] for face in faces]
    emotions = [face["emotion"]["dominant"] for face in faces]

    status, scaleflex = form(served, "/images/face-analysis/upload/", "file", three)
    assert status == 200
    rows = list(scaleflex["faces"].values())
    assert all(np.abs(np.subtract(row["box"], mine)).max() <= 1 for row, mine in zip(rows, boxes, strict=True))
    assert [row["dominant_emotion"] for row in rows] == emotions
    assert all(abs(row["age"] - age) <= 0.6 for row, age in zip(rows, ages, strict=True))
    with urllib.request.urlopen(scaleflex["result"]) as picture:
        assert picture.read(4) == b"\x89PNG"

    _, coqnitics = form(served, "/analyze", "filename", three)
    for row, mine, age, emotion in zip(coqnitics["faces"], boxes, ages, emotions, strict=True):
        b = row["boundingBox"]
        assert np.abs(np.subtract([b["x"], b["y"], b["x"] + b["w"], b["y"] + b["h"]], mine)).max() <= 1
        assert abs(row["age"] - age) <= 0.6
        assert max(row["emotions"], key=row["emotions"].get) == emotion

    _, ailabtools = form(served, "/api/portrait/analysis/face-analyzer-advanced", "image", three)
    data = ailabtools["data"]
    assert data["face_count"] == 3
    assert all(abs(a - b) <= 0.6 for a, b in zip(data["age_list"], ages, strict=True))
    assert data["expressions"] == [int(emotion == "happy") for emotion in emotions]

    _, arsa = form(served, "/api/v1/face_analytics", "face_image", three)
    for row, mine, age, face in zip(arsa["faces"], boxes, ages, faces, strict=True):
        assert np.abs(np.subtract(row["bounding_box"], mine)).max() <= 1
        assert abs(row["age"] - age) <= 0.1
        assert row["gender"] == face["gender"]["value"]
        assert row["passive_liveness"]["is_real_face"] == face["liveness"]["is_real"]
    assert np.allclose(data["pose_list"][:3], list(faces[0]["pose"].values()), atol=0.06)
    assert np.allclose(data["landmarks"][:2], faces[0]["landmarks"][0], atol=0.06)

    largest = max(range(3), key=lambda i: (boxes[i][2] - boxes[i][0]) * (boxes[i][3] - boxes[i][1]))
    body = json.dumps({"image": base64.b64encode(three).decode(), "api_key": "none"}).encode()
    _, machinesense = request(urllib.request.Request(f"{served.base}/faceapi/v1/face_age_detection", data=body))
    assert abs(machinesense["data"]["age"] - ages[largest]) <= 0.6


def test_compreface_says_the_same_with_its_own_signs(served: Served, three: bytes) -> None:
    names = "age_range,gender,pose,mask"
    faces = served.post(three, f"?attributes={names}&order=size", kind="image/png")[1]["faces"]
    status, body = form(served, "/api/v1/detection/detect?face_plugins=age,gender,pose,landmarks,mask", "file", three)
    assert (status, len(body["result"])) == (200, 3)
    for row, face in zip(body["result"], faces, strict=True):
        corners = [row["box"][name] for name in ("x_min", "y_min", "x_max", "y_max")]
        assert np.abs(np.subtract(corners, box(face))).max() <= 1
        assert row["age"]["low"] <= face["age_range"]["low"] + 0.1
        assert row["age"]["high"] >= face["age_range"]["high"] - 0.1
        assert row["gender"]["value"] == face["gender"]["value"]
        assert all(abs(row["pose"][name] + face["pose"][name]) <= 0.06 for name in ("yaw", "pitch", "roll"))
        assert row["mask"]["value"] == "without_mask"
        assert len(row["landmarks"]) == 5


def test_a_quota_is_exact_over_eight_workers(served: Served, three: bytes, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'keys.sqlite'}"
    issued = KeyStore(url).create("coqnitics", "quota", monthly_quota=100, pair=True)
    many = start("--port=0", "--workers=8", "--triton", served.triton, environment={"VULTUS_KEYS_URL": url})
    many.wait_for("curl -F")
    many.base = re.findall(r"gateway +(\S+)", "".join(many.lines))[0]
    mark = uuid.uuid4().hex
    fields = {"access_key": issued.key.identifier, "secret_key": issued.secret}
    parts = "".join(f'--{mark}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items())
    head = f'{parts}--{mark}\r\nContent-Disposition: form-data; name="filename"; filename="a.png"\r\n\r\n'
    data = head.encode() + three + f"\r\n--{mark}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(request, urllib.request.Request(f"{many.base}/analyze", data=data, headers=kind)) for _ in range(400)]
        statuses = [call.result()[0] for call in calls]
    assert stop(many) == 0
    assert (statuses.count(200), statuses.count(429)) == (100, 300), sorted(set(statuses))
