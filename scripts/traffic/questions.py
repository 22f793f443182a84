"""Requests: pictures of many sizes, each through every API. No two pictures have the same faces, so a mixed-up answer is seen."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from urllib3.filepost import encode_multipart_formdata

from gateway.callers.keys import Issued
from scripts.benchmarking.pictures import case

# Width, height, faces, size of the heads in pixels.
Layout = tuple[int, int, int, int]
LAYOUTS: tuple[Layout, ...] = (
    (640, 480, 1, 180),
    (640, 480, 0, 0),
    (800, 600, 2, 220),
    (1024, 768, 3, 200),
    (1280, 720, 1, 260),
    (1920, 1080, 10, 280),
    (3000, 2000, 2, 800),
    (4000, 3000, 1, 1300),
)
SMALL = LAYOUTS[:5]
# Path, field of the file, header of the secret, header of the identifier. MachineSense and Coqnitics have theirs in the body.
FORMS = {
    "arsa": ("/api/v1/face_analytics", "face_image", "x-key-secret", None),
    "ailabtools": ("/api/portrait/analysis/face-analyzer-advanced", "image", "ailabapi-api-key", None),
    "scaleflex": ("/images/face-analysis/upload/", "file", "Filerobot-Key", "Filerobot-Token"),
    "coqnitics": ("/analyze", "filename", None, None),
}
APIS = ("vultus", "machinesense", *FORMS)


@dataclass(frozen=True, slots=True)
class Question:
    """One request: `name` says which API and which picture."""

    name: str
    path: str
    body: bytes
    headers: Mapping[str, str]


def questions(layouts: Sequence[Layout] = LAYOUTS, keys: Mapping[str, Issued] | None = None) -> list[Question]:
    """Every API with every picture, with a key for each API if there are keys."""
    pictures = {f"{width}x{height} {faces} faces": case("", width, height, faces, head).jpeg for width, height, faces, head in layouts}
    return [question(api, name, jpeg, (keys or {}).get(api)) for name, jpeg in pictures.items() for api in APIS]


def question(api: str, picture: str, jpeg: bytes, key: Issued | None = None) -> Question:
    """One API with one picture."""
    name, secret = f"{api} {picture}", key.secret if key else "none"
    if api == "vultus":
        return Question(name, "/v1/analyze", jpeg, {"Content-Type": "image/jpeg", "X-API-Key": secret})
    if api == "machinesense":
        body = json.dumps({"image": base64.b64encode(jpeg).decode(), "api_key": secret}).encode()
        return Question(name, "/faceapi/v1/face_age_detection", body, {"Content-Type": "application/json"})
    path, field, secret_header, identifier_header = FORMS[api]
    parts: dict[str, str | tuple[str, bytes]] = {field: ("photo.jpg", jpeg)}
    if api == "coqnitics" and key:
        parts |= {"access_key": key.key.identifier, "secret_key": key.secret}
    body, kind = encode_multipart_formdata(parts)
    headers = {"Content-Type": kind}
    if secret_header and key:
        headers[secret_header] = key.secret
    if identifier_header and key:
        headers[identifier_header] = key.key.identifier
    return Question(name, path, body, headers)
