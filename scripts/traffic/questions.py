"""Requests: pictures of many sizes, each through every API. No two pictures have the same faces, so swapped answers are noticed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from urllib3.filepost import encode_multipart_formdata

from gateway.apis import v1
from gateway.apis.vendors import VENDORS
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
CALLS = {vendor.name: vendor.calls[0] for vendor in VENDORS}
APIS = ("vultus", *CALLS)


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
        return Question(name, v1.CALL.path, jpeg, {"Content-Type": "image/jpeg", v1.CALL.secret: secret})
    call = CALLS[api]
    parts = {call.secret: secret} | ({call.identifier: key.key.identifier if key else "none"} if call.identifier else {})
    fields, headers = (parts, {}) if call.key_in_body else ({}, parts)
    if call.json:
        body = json.dumps({call.picture: base64.b64encode(jpeg).decode(), **fields}).encode()
        return Question(name, call.path, body, {"Content-Type": "application/json", **headers})
    body, kind = encode_multipart_formdata({call.picture: ("photo.jpg", jpeg), **fields})
    return Question(name, call.path, body, {"Content-Type": kind, **headers})
