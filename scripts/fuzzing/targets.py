"""What is fuzzed: one function a target, which takes bytes and raises only when something is wrong.

A finding is an exception that no caller may see, an answer that no caller may get, or the end of the process.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from flask.testing import FlaskClient
from werkzeug.datastructures import Headers

from gateway.app import create_app
from gateway.errors import RequestError
from gateway.pictures import decoding
from gateway.pictures.formats import EVERY_FORMAT
from gateway.settings import Settings
from tests.conftest import FakeTriton

Target = Callable[[bytes], None]

RULES = decoding.Rules(EVERY_FORMAT, max_bytes=2**20, max_pixels=2**20, min_side_px=1, max_side_px=4096)
BOUNDARY = "vultus"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
PATHS = (
    "/v1/analyze",
    "/api/v1/face_analytics",
    "/api/v1/face_liveness",
    "/faceapi/v1/face_age_detection",
    "/faceapi/v1/face_gender_detection",
    "/faceapi/v1/face_expression_detection",
    "/api/portrait/analysis/face-analyzer-advanced",
    "/images/face-analysis",
    "/images/face-analysis/upload/",
    "/analyze",
    "/api/v1/detection/detect",
)
KINDS = (FORM, "application/json", "image/jpeg", "application/x-www-form-urlencoded", "text/plain", "")
ALLOWED = frozenset({200, 201, 400, 404, 405, 413, 415, 422, 503})
# What only a defect would put into an answer.
LEAKS = (b"Traceback", b'File "', b".py", b"Exception")


class Finding(Exception):
    """An answer that no caller may get."""


def decode(data: bytes) -> None:
    """`decoding.decode` either gives pixels of the promised kind or refuses in our terms."""
    try:
        picture = decoding.decode(data, RULES, 32)
    except RequestError:
        return
    if picture.pixels.dtype != "uint8" or picture.pixels.ndim != 3 or picture.pixels.shape[2] != 3 or not picture.pixels.size:
        raise Finding(f"{picture.pixels.dtype} {picture.pixels.shape}")


def requests(data: bytes) -> None:
    """The first byte chooses the path, the second the content type, a line the query and one header; the rest is the body."""
    if len(data) < 2:
        return
    path, kind = PATHS[data[0] % len(PATHS)], KINDS[data[1] % len(KINDS)]
    line, _, body = data[2:].partition(b"\n")
    query, _, header = line.decode("latin-1").partition(" ")
    headers = Headers({"X-Request-ID": "".join(c for c in header if c.isprintable())})
    answer = _client().post(path, data=body, query_string=query, content_type=kind, headers=headers)
    check(answer.status_code, answer.mimetype or "", answer.get_data())


def check(status: int, kind: str, body: bytes) -> None:
    """Raise Finding for an answer that no caller may get."""
    if status not in ALLOWED:
        raise Finding(f"status {status}: {body[:200]!r}")
    if any(leak in body for leak in LEAKS):
        raise Finding(f"leak: {body[:200]!r}")
    if kind not in ("application/json", "application/problem+json"):
        raise Finding(f"media type {kind}")
    json.loads(body)


@cache
def _client() -> FlaskClient:
    folder = Path(tempfile.mkdtemp(prefix="vultus-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    keys, pictures = f"sqlite:///{folder / 'keys.sqlite'}", str(folder / "pictures")
    small = {"pictures_max_bytes": 2**20, "max_image_pixels": 2**20, "decode_processes": 0}
    settings = Settings(keys_url=keys, pictures_url=pictures, log_level="CRITICAL", **small)  # type: ignore[arg-type]
    return create_app(settings, FakeTriton()).test_client()  # type: ignore[arg-type]


TARGETS: dict[str, Target] = {"decode": decode, "requests": requests}
