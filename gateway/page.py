"""The demo page: static files under a policy that lets them talk to this server only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, send_from_directory

from gateway.apis import v1
from gateway.apis.call import Call
from gateway.apis.vendors import VENDORS
from gateway.errors import UnknownPath

FOLDER = Path(__file__).resolve().parent / "web"
FILES = frozenset(path.name for path in FOLDER.iterdir()) - {"index.html"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

blueprint = Blueprint("page", __name__)


@blueprint.get("/")
def index() -> Response:
    """GET /."""
    return _guarded(send_from_directory(FOLDER, "index.html"))


@blueprint.get("/web/calls.js")
def calls() -> Response:
    """GET /web/calls.js: how each API is asked, by its title."""
    told = {"Vultus": _told(v1.CALL)} | {vendor.title: _told(vendor.calls[0]) for vendor in VENDORS}
    return _guarded(current_app.response_class(f"export const APIS = {json.dumps(told, indent=2)};\n", mimetype="text/javascript"))


def _told(call: Call) -> dict[str, Any]:
    """Path relative to the page, field of the picture, and the header or, with `key_in_body`, the field of the key."""
    return {
        "path": call.path.removeprefix("/"), "field": call.picture, "json": call.json, "key": call.secret, "key_in_body": call.key_in_body
    }  # fmt: skip


@blueprint.get("/web/<name>")
def file(name: str) -> Response:
    """GET /web/<name>: one of FILES."""
    if name not in FILES:
        raise UnknownPath
    return _guarded(send_from_directory(FOLDER, name))


def _guarded(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-cache"
    return response
