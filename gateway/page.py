"""The demo page: static files under a policy that lets them talk to this server only."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

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
