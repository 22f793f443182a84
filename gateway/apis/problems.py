"""Errors of /v1 and of everything that belongs to no vendor: RFC 9457 `application/problem+json`."""

from __future__ import annotations

from flask import Response, current_app, g

from gateway.errors import GatewayError
from gateway.v1_schema import Problem

MEDIA_TYPE = "application/problem+json"


def render(error: GatewayError) -> Response:
    """The problem document of any error of the tree."""
    body = Problem(
        type=f"urn:vultus:problem:{error.code}",
        title=error.title,
        status=error.status,
        code=error.code,
        request_id=g.request_id,
        detail=error.detail,
    )
    response = current_app.response_class(body.model_dump_json(exclude_none=True), error.status, mimetype=MEDIA_TYPE)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response
