"""What both clients share: settings of the connection, the request's parts, and when a request is sent again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
from tenacity import RetryCallState, stop_after_attempt, wait_random_exponential

from vultus.errors import ServiceError, UnexpectedAnswer, Unreachable

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_TIMEOUT_S = 30.0
DEFAULT_RETRIES = 3
LONGEST_WAIT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
# Without Retry-After: a random pause that grows, so that many clients do not come back at once.
BACKOFF = wait_random_exponential(multiplier=0.25, max=5)
# A proxy of the environment is of no use on the way to one's own machine.
LOOPBACK = ("all://localhost", "all://127.0.0.1", "all://[::1]")


def settings(url: str, key: str | None, timeout_s: float) -> dict[str, Any]:
    """Arguments of httpx's clients. Raises ValueError for an address that is none."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL("")
    if address.scheme not in ("http", "https") or not address.host:
        raise ValueError(f"{url!r} is not an address such as {DEFAULT_URL}.")
    return {
        "base_url": address,
        "headers": {"X-API-Key": key} if key else {},
        "timeout": httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        "mounts": dict.fromkeys(LOOPBACK),
    }


def query(attributes: Sequence[str] | None, max_faces: int | None) -> dict[str, str]:
    """The query of /v1/analyze. What is None is left to the service's default."""
    asked = {} if attributes is None else {"attributes": attributes if isinstance(attributes, str) else ",".join(attributes)}
    return asked if max_faces is None else {**asked, "max_faces": str(max_faces)}


def body_headers(length_bytes: int) -> dict[str, str]:
    """The service looks at the bytes to find the format, so no type is claimed."""
    return {"Content-Type": "application/octet-stream", "Content-Length": str(length_bytes)}


def retrying(retries: int) -> dict[str, Any]:
    """Arguments of tenacity's controllers: connections that fail and status 503, nothing else."""
    return {"stop": stop_after_attempt(1 + retries), "retry": _again, "wait": _pause_s, "reraise": True}


def _again(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ServiceError | UnexpectedAnswer):
        return error.status == 503 and (error.retry_after_s or 0) <= LONGEST_WAIT_S
    return isinstance(error, Unreachable)


def _pause_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, ServiceError | UnexpectedAnswer) else None
    return (asked_s or 0) + BACKOFF(state)
