"""Prometheus metrics of the gateway. Names are stable."""

from __future__ import annotations

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.faces import Analysis

STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter("vultus_requests_total", "HTTP requests", ["api", "route", "method", "status"])
LATENCY = Histogram("vultus_request_seconds", "Time to answer", ["route"], buckets=STAGE_BUCKETS_S)
STAGE = Histogram("vultus_stage_seconds", "Time in one stage: read, wait, decode, inference, render", ["stage"], buckets=STAGE_BUCKETS_S)
FACES = Histogram("vultus_faces_per_image", "Faces found in an image", buckets=(0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 128))
IN_FLIGHT = Gauge("vultus_in_flight_requests", "Requests being decoded or analysed", multiprocess_mode="livesum")
QUEUE_WAIT = Histogram("vultus_queue_wait_seconds", "Wait for a place at work", buckets=STAGE_BUCKETS_S)
REJECTED = Counter("vultus_rejected_total", "Requests not worked on, by reason: see gateway/README.md", ["reason"])
RETRIES = Counter("vultus_retries_total", "Further attempts to reach Triton")
BREAKER_OPEN = Gauge("vultus_breaker_open", "1 while calls to Triton fail at once", multiprocess_mode="livemax")


def observe(analysis: Analysis) -> None:
    """Count one analysis."""
    STAGE.labels("decode").observe(analysis.timings.decode_ms / 1e3)
    STAGE.labels("inference").observe(analysis.timings.inference_ms / 1e3)
    FACES.observe(len(analysis.faces))


def exposition() -> bytes:
    """All workers' metrics in Prometheus text format."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
