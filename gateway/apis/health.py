"""Probes and metrics."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from gateway import draining, metrics
from gateway.apis.openapi import describe
from gateway.apis.services import Services, services
from gateway.errors import GatewayError
from gateway.models import ENSEMBLE, Config, Output, read_config
from gateway.v1_schema import Health

blueprint = Blueprint("health", __name__)

# Name, type and dimensions of a model's inputs and outputs.
Tensors = tuple[tuple[str, int, tuple[int, ...]], ...]


@blueprint.get("/healthz")
@describe(summary="The gateway process is alive", answer=Health)
def healthz() -> Response:
    """GET /healthz."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
@describe(summary="Triton is ready and serves the models that are documented here", answer=Health, failures={503: Health})
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
    """Why this gateway cannot answer; None: it can."""
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
    return _described(parts.settings.model_repository / model) != _tensors(parts.triton.served_config(model))


@cache  # parsing them all takes longer than all else that a probe does
def _described(folder: Path) -> Tensors:
    return _tensors(read_config(folder))


def _tensors(config: Config) -> Tensors:
    return tuple((tensor.name, tensor.data_type, tuple(tensor.dims)) for tensor in (*config.input, *config.output))
