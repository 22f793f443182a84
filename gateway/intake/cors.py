"""Web pages of other origins that may call /v1 (the Fetch standard's CORS protocol). Off unless origins are named."""

from __future__ import annotations

from flask import Flask, Response, request

from gateway.deadline import TIMEOUT_HEADER

PREFIX = "/v1/"
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": f"Content-Type, X-API-Key, X-Request-ID, {TIMEOUT_HEADER}",
    "Access-Control-Max-Age": "600",
}
READABLE = "X-Request-ID, X-Faces, Retry-After"


def install(app: Flask, origins: str) -> None:
    """Answer browsers of these origins: names between commas, or * for all. Errors are readable for them too."""
    allowed = frozenset(origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip())
    if not allowed:
        return

    @app.after_request
    def allow(response: Response) -> Response:
        if not request.path.startswith(PREFIX):
            return response
        if "*" not in allowed:
            response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin is None or not ("*" in allowed or origin in allowed):
            return response
        response.headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
        response.headers["Access-Control-Expose-Headers"] = READABLE
        if request.method == "OPTIONS":
            response.headers.update(PREFLIGHT)
        return response
