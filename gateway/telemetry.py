"""Request ids and one log line a request. Never an image, a name of a file or a person's attribute."""

from __future__ import annotations

import logging
import re
import sys
import time
import uuid

from flask import Flask, Response, g, request
from pythonjsonlogger.json import JsonFormatter

from gateway import metrics

log = logging.getLogger("vultus.access")

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def configure_logging(level: str) -> None:
    """JSON lines on standard error for everything under `vultus`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter("{asctime}{levelname}{name}{message}", style="{", rename_fields={"asctime": "time", "levelname": "level"})
    )
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
        route = request.url_rule.rule if request.url_rule else "unknown"
        seconds = time.perf_counter() - g.started
        response.headers["X-Request-ID"] = g.request_id
        metrics.REQUESTS.labels(route, request.method if request.url_rule else "any", response.status_code).inc()
        metrics.LATENCY.labels(route).observe(seconds)
        log.info(
            "request",
            extra={
                "request_id": g.request_id,
                "method": request.method,
                "route": route,
                "status": response.status_code,
                "bytes_in": request.content_length,
                "duration_ms": round(seconds * 1e3, 2),
            },
        )
        return response
