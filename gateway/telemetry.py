"""Request ids, one log line a request, Prometheus metrics. Never an image, a name of a file or a person's attribute."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import uuid

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from pythonjsonlogger.json import JsonFormatter

log = logging.getLogger("vultus.access")

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter("vultus_requests_total", "HTTP requests", ["route", "method", "status"])
LATENCY = Histogram("vultus_request_seconds", "Time to answer", ["route"], buckets=STAGE_BUCKETS_S)
STAGE = Histogram("vultus_stage_seconds", "Time in one stage of an analysis", ["stage"], buckets=STAGE_BUCKETS_S)
FACES = Histogram("vultus_faces_per_image", "Faces found in an image", buckets=(0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 128))


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
        REQUESTS.labels(route, request.method if request.url_rule else "any", response.status_code).inc()
        LATENCY.labels(route).observe(seconds)
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


def observe_analysis(decode_ms: float, inference_ms: float, faces: int) -> None:
    """Count one analysis."""
    STAGE.labels("decode").observe(decode_ms / 1e3)
    STAGE.labels("inference").observe(inference_ms / 1e3)
    FACES.observe(faces)


def exposition() -> Response:
    """All workers' metrics in Prometheus text format."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
