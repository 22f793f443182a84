"""The application factory."""

from __future__ import annotations

import errno
import logging

from flask import Flask, Response, request
from gunicorn.http.errors import NoMoreData, ParseException
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from gateway import access_log, forms, page, tracing
from gateway import errors as e
from gateway.apis import health, openapi, problems, v1, v1_pictures
from gateway.apis.services import KEY, Services, services
from gateway.apis.vendor import json_answer
from gateway.apis.vendors import VENDORS, vendor_of
from gateway.callers.admission import Admission
from gateway.callers.keys import KeyStore
from gateway.inference.analyzer import Analyzer
from gateway.inference.triton import TritonClient
from gateway.intake import cors, hooks
from gateway.intake.latency_estimate import Pace
from gateway.models import read_catalogue
from gateway.pictures.fetch import Fetcher
from gateway.pictures.pool import Decoders
from gateway.pictures.store import picture_store
from gateway.settings import Settings

log = logging.getLogger("vultus.app")

# Of a form: no API has more than a few short fields, and at most ten files. Headers of parts are held to this limit too.
MAX_TEXT_FIELD_BYTES, MAX_FORM_PARTS = 2**18, 100

# A file system or a quota that is full.
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM})

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
    access_log.configure_logging(settings.log_level)
    app = Flask(__name__, static_folder=None)
    app.request_class = forms.FormRequest
    app.url_map.strict_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_TEXT_FIELD_BYTES
    app.config["MAX_FORM_PARTS"] = MAX_FORM_PARTS
    client = triton or TritonClient(
        settings.triton, settings.deadline_s, settings.shared_memory, settings.cancel_at_triton, settings.triton_secret
    )
    catalogue = read_catalogue(settings.model_repository)
    admission = Admission(KeyStore(settings.keys_url), settings.require_keys, settings.rate_storage_url, settings.failed_s)
    pace = Pace()
    analyzer = Analyzer(client, catalogue, pace.measured)
    decoders = Decoders(settings)
    app.extensions[KEY] = Services(settings, catalogue, client, decoders, analyzer, admission, Fetcher(settings), picture_store(settings))
    if _is_open(admission):
        log.warning("no key has been issued: anybody who reaches this service may use it")
    tracing.install(app, settings)
    access_log.install(app)
    hooks.install(app, settings, pace, _check_key)
    for part in (v1, v1_pictures, health, openapi, page):
        app.register_blueprint(part.blueprint)
    for vendor in VENDORS:
        app.register_blueprint(vendor.blueprint)
    app.config[forms.PICTURE_FIELDS] = openapi.file_fields()
    app.after_request(_allow_browsers)
    cors.install(app, settings.cors_origins)
    app.register_error_handler(e.GatewayError, _fail)
    app.register_error_handler(HTTPException, _http_problem)
    # A body whose chunks are malformed or end early: gunicorn says so only when it is read.
    for unreadable in (ParseException, NoMoreData):
        app.register_error_handler(unreadable, lambda _: _fail(e.MalformedBody()))
    app.register_error_handler(Exception, _defect)
    return app


def _check_key() -> None:
    """Refuse a key that comes in a header and is wrong, before the body is read. Rates and quotas are the view's."""
    vendor = vendor_of(request.path)
    calls, name = (vendor.calls, vendor.name) if vendor else ((v1.CALL,), v1.API)
    call = next((call for call in calls if call.path == request.path.rstrip("/")), calls[0])
    if not call.key_in_body:
        services().admission.know(name, call.credentials())


def _is_open(admission: Admission) -> bool:
    """False also while the key store is away: a worker must start all the same, and then answers that it is."""
    try:
        return admission.open
    except e.GatewayError:
        return False


def _http_problem(error: HTTPException) -> Response:
    kind = next((ours for theirs, ours in FROM_HTTP.items() if isinstance(error, theirs)), None)
    if kind is None:
        return _fail(e.InternalError() if (error.code or 500) >= 500 else e.MalformedBody())
    response = _fail(kind())
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _defect(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in NO_SPACE):
        return _fail(e.Overloaded(retry_after_s=1))
    return _fail(e.InternalError())


def _fail(error: e.GatewayError) -> Response:
    """In the words of the API to which the path belongs."""
    vendor = vendor_of(request.path)
    if vendor:
        return vendor.fail(error)
    if isinstance(error, e.UnknownPath) and not request.path.startswith(f"{v1.blueprint.url_prefix}/"):
        return json_answer({"detail": "Not Found"}, error.status)  # nobody's path: what most of the vendors' clients expect
    return problems.render(error)


def _allow_browsers(response: Response) -> Response:
    vendor = vendor_of(request.path)
    if vendor and vendor.cors:
        response.headers["Access-Control-Allow-Origin"] = "*"
    return response
