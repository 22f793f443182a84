"""The application factory."""

from __future__ import annotations

import logging

from flask import Flask, Response
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from gateway import documentation, health, native, problems, telemetry
from gateway import errors as e
from gateway.analyzer import Analyzer
from gateway.models import read_catalogue
from gateway.services import KEY, Services
from gateway.settings import Settings
from gateway.triton import TritonClient

log = logging.getLogger("vultus.app")

# Werkzeug's routing and parsing failures in our terms.
FROM_HTTP: dict[type[HTTPException], type[e.GatewayError]] = {
    NotFound: e.UnknownPath,
    MethodNotAllowed: e.MethodNotAllowed,
    RequestEntityTooLarge: e.BodyTooLarge,
    BadRequest: e.MalformedBody,
}


def create_app(settings: Settings | None = None, triton: TritonClient | None = None) -> Flask:
    """Build the WSGI application. `triton` may be any object with TritonClient's methods."""
    settings = settings or Settings()
    telemetry.configure_logging(settings.log_level)
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body_bytes
    client = triton or TritonClient(settings.triton, settings.deadline_s)
    catalogue = read_catalogue(settings.model_repository)
    app.extensions[KEY] = Services(settings, catalogue, client, Analyzer(client, catalogue))
    telemetry.install(app)
    for part in (native, health, documentation):
        app.register_blueprint(part.blueprint)
    app.register_error_handler(e.GatewayError, problems.render)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(Exception, _defect)
    return app


def _http_problem(error: HTTPException) -> Response:
    kind = next((ours for theirs, ours in FROM_HTTP.items() if isinstance(error, theirs)), None)
    if kind is None:
        return problems.render(e.InternalError() if (error.code or 500) >= 500 else e.MalformedBody())
    response = problems.render(kind())
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _defect(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return problems.render(e.InternalError())
