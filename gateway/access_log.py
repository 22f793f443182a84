"""Request ids and one log line a request. Never an image, a name of a file or a person's attribute."""

from __future__ import annotations

import logging
import re
import sys
import time
import uuid
from typing import Any

from flask import Flask, Response, g, request
from pythonjsonlogger.json import JsonFormatter

from gateway import log_lines, metrics, tracing
from gateway.apis.vendors import vendor_of
from gateway.deadline import CURRENT

log = logging.getLogger("vultus.access")

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def configure_logging(level: str) -> None:
    """JSON lines on standard error for everything under `vultus`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(**log_lines.FORMAT))
    logger = logging.getLogger("vultus")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level)


def install(app: Flask) -> None:
    """Hook ids, metrics and the access log around every request."""

    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if SANE_ID.fullmatch(given) else uuid.uuid4().hex
        g.started = time.perf_counter()

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        seconds = time.perf_counter() - g.started
        route = request.url_rule.rule if request.url_rule else "unknown"
        method = request.method if request.url_rule else "any"
        metrics.REQUESTS.labels(api_of_request(), route, method, response.status_code).inc()
        metrics.LATENCY.labels(route).observe(seconds)
        _observe_render()
        log.info("request", extra=_fields(route, response.status_code, seconds))
        return response


def api_of_request() -> str:
    """The API of this request: a vendor's name, `vultus` for /v1, `service` for everything else."""
    vendor = vendor_of(request.path)
    if vendor:
        return vendor.name
    return "vultus" if (request.blueprint or "").startswith("v1") else "service"


def _observe_render() -> None:
    call = CURRENT.get()
    if call and call.analysed_s is not None:
        metrics.STAGE.labels("render").observe(time.monotonic() - call.analysed_s)


def _fields(route: str, status: int, seconds: float) -> dict[str, Any]:
    """The access log's own fields; gateway/README.md documents them."""
    fields = {
        "request_id": g.request_id,
        "api": api_of_request(),
        "method": request.method,
        "route": route,
        "status": status,
        "bytes_in": request.content_length,
        "duration_ms": round(seconds * 1e3, 2),
    }
    trace_id = tracing.trace_id()
    return fields | {"trace_id": trace_id} if trace_id else fields
