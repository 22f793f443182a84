"""What both clients share: settings of the connection, the request's parts, and when a request is sent again."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import httpx
from tenacity import RetryCallState, stop_after_attempt, wait_random_exponential

from vultus.errors import ServiceError, UnexpectedAnswer, Unreachable
from vultus.image import Image, is_address

C = TypeVar("C", httpx.Client, httpx.AsyncClient)

Order: TypeAlias = Literal["confidence", "size"]
Method: TypeAlias = Literal["blur", "pixelate", "cover"]

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_TIMEOUT_S = 30.0
DEFAULT_RETRIES = 3
LONGEST_WAIT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
# Without Retry-After: a random pause that grows, so that many clients do not come back at once.
BACKOFF = wait_random_exponential(multiplier=0.25, max=5)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# An address without a scheme, as many type it: HOST:PORT. Without a port the scheme cannot be guessed, but for one's own machine.
BARE = re.compile(r"(([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}|localhost|127\.0\.0\.1|\[::1\])(/\S*)?")


def settings(url: str, key: str | None, timeout_s: float) -> dict[str, Any]:
    """Arguments of httpx's clients. Raises ValueError for an address that is none."""
    address = _address(url)
    return {
        "base_url": address,
        "headers": {"X-API-Key": key} if key else {},
        "timeout": httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        **(_without_proxies(address) if address.host in LOOPBACK else {}),
    }


def made(kind: Callable[..., C], settings: dict[str, Any], transport: object) -> C:
    """One of httpx's clients. Raises ValueError for proxy variables of the environment that cannot be used."""
    try:
        return kind(**settings, transport=transport)
    except (httpx.InvalidURL, ImportError, ValueError) as error:
        raise ValueError(
            f"The proxy variables of the environment (http_proxy, https_proxy, all_proxy, no_proxy) cannot be used: {error}"
        ) from error


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(f"http://{url}" if BARE.fullmatch(url) else url)
    except httpx.InvalidURL:
        address = httpx.URL("")
    if address.scheme not in ("http", "https") or not address.host:
        raise ValueError(f"{url!r} is not an address such as {DEFAULT_URL}.")
    return address


def _without_proxies(address: httpx.URL) -> dict[str, Any]:
    """On the way to one's own machine a proxy of the environment is of no use, and one that cannot be used no hindrance."""
    # Of the environment this leaves what certificates to trust.
    return {"trust_env": False, **({"verify": httpx.create_ssl_context()} if address.scheme == "https" else {})}


def query(
    attributes: Sequence[str] | None,
    max_faces: int | None,
    min_confidence: float | None,
    min_face_px: int | None,
    order: Order | None,
) -> dict[str, str]:
    """The query of /v1/analyze. What is None is left to the service's default."""
    return texts(attributes=attributes, max_faces=max_faces, min_confidence=min_confidence, min_face_px=min_face_px, order=order)


def texts(**options: Sequence[str] | float | None) -> dict[str, str]:
    """Options as a query has them. What is None is left to the service's default."""
    return {name: _text(value) for name, value in options.items() if value is not None}


def _text(value: Sequence[str] | float) -> str:
    if isinstance(value, float):
        return f"{value:.9f}"  # never with an exponent
    return str(value) if isinstance(value, str | int) else ",".join(value)


def body_headers(image: Image, length_bytes: int) -> dict[str, str]:
    """The service looks at the bytes to find the format, so no type is claimed, but for the JSON that an address is sent in."""
    kind = "application/json" if is_address(image) else "application/octet-stream"
    return {"Content-Type": kind, "Content-Length": str(length_bytes)}


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
