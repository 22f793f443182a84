"""From an HTTP answer, or its absence, to a typed result or one of our errors."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from gateway.v1_schema import Health, Problem
from vultus.errors import ConnectionBroken, TimedOut, UnexpectedAnswer, Unreachable, VultusError, kind_of

T = TypeVar("T", bound=BaseModel)


def read(response: httpx.Response, model: type[T]) -> T:
    """The answer as `model`. Raises ServiceError, UnexpectedAnswer."""
    if not response.is_success:
        raise _refusal(response)
    return _parse(response, model)


def read_picture(response: httpx.Response) -> bytes:
    """The answer as the file that it is. Raises ServiceError, UnexpectedAnswer."""
    if not response.is_success:
        raise _refusal(response)
    if not response.headers.get("Content-Type", "").startswith("image/"):
        raise _unexpected(response)
    return response.content


def read_health(response: httpx.Response) -> Health:
    """The answer of /readyz, which says what is missing with status 503. Raises UnexpectedAnswer."""
    if response.status_code not in (200, 503):
        raise _refusal(response)
    return _parse(response, Health)


def lost(error: httpx.TransportError) -> VultusError:
    """Our error for a request that got no answer."""
    url = error.request.url.copy_with(path="/", query=None)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Unreachable(f"No connection to {url}. Is the service running there? On its machine, `vultus doctor` looks.")
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(f"{url} did not answer in time.")
    return ConnectionBroken(f"The connection to {url} ended before the answer.")


def retry_after_s(response: httpx.Response, now: datetime | None = None) -> float | None:
    """Retry-After in seconds, from either of its two forms (RFC 9110, 10.2.3); None when absent or neither."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _parse(response: httpx.Response, model: type[T]) -> T:
    try:
        # A newer service may say more than this client knows.
        return model.model_validate_json(response.content, extra="ignore")
    except ValidationError:
        raise _unexpected(response) from None


def _refusal(response: httpx.Response) -> VultusError:
    try:
        problem = Problem.model_validate_json(response.content, extra="ignore")
    except ValidationError:
        return _unexpected(response)
    return kind_of(problem.code, problem.status)(
        problem.title,
        code=problem.code,
        status=problem.status,
        request_id=problem.request_id,
        detail=problem.detail,
        retry_after_s=retry_after_s(response),
    )


def _unexpected(response: httpx.Response) -> UnexpectedAnswer:
    status, url = response.status_code, response.request.url.copy_with(query=None)
    return UnexpectedAnswer(f"{url} answered with status {status}, but not as Vultus does.", status, retry_after_s(response))
