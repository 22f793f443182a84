"""Probes and metrics."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from gateway import draining, metrics
from gateway.apis.openapi import describe
from gateway.apis.services import Services, services
from gateway.errors import GatewayError
from gateway.models import ENSEMBLE, Output, read_config
from gateway.v1_schema import Health

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@describe(summary="The gateway process is alive", answer=Health)
def healthz() -> Response:
    """GET /healthz."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
@describe(summary="Triton is ready and serves the models that are documented here", answer=Health)
def readyz() -> tuple[Response, int]:
    """Handle GET /readyz: 200, or 503 and what is missing."""
    reason = unready_because(services())
    if reason:
        return jsonify(status="unavailable", detail=reason), 503
    return jsonify(status="ready"), 200


@blueprint.get("/metrics")
@describe(summary="Prometheus metrics", media_type="text/plain")
def exposition() -> Response:
    """GET /metrics."""
    return Response(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)


def unready_because(parts: Services) -> str | None:
    """What keeps this gateway from answering, None when nothing does."""
    if draining.begun():
        return "This gateway is about to stop."
    if not parts.triton.is_ready():
        return "Triton does not answer, or the ensemble is not loaded."
    try:
        differing = [f"{o.tensor} of {o.model}" for o in parts.catalogue.outputs if not _labels_fit(parts, o)]
        differing += [name for name in (ENSEMBLE, *parts.catalogue.versions) if _differs(parts, name)]
    except GatewayError:
        return "Triton does not tell its model configuration."
    return f"Triton serves other tensors than the model repository here describes: {', '.join(differing)}." if differing else None


def _labels_fit(parts: Services, output: Output) -> bool:
    served = parts.triton.served_config(output.model)
    return any(t.name == output.tensor and (not output.labels or list(t.dims) == [len(output.labels)]) for t in served.output)


def _differs(parts: Services, model: str) -> bool:
    ours, served = read_config(parts.settings.model_repository / model), parts.triton.served_config(model)
    tensors = [[(t.name, t.data_type, tuple(t.dims)) for t in (*config.input, *config.output)] for config in (ours, served)]
    return tensors[0] != tensors[1]
