"""Asking again when nobody was there. gRPC's own retry policy goes by status alone, and Triton says UNAVAILABLE for a full queue too."""

from __future__ import annotations

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential
from tritonclient.utils import InferenceServerException

from gateway import metrics
from gateway.deadline import Call

ATTEMPTS, FIRST_PAUSE_S, LONGEST_PAUSE_S = 3, 0.05, 0.3
ABSENT = ("StatusCode.UNAVAILABLE", "StatusCode.CANCELLED")
QUEUE_FULL, QUEUED_TOO_LONG = "exceeds maximum queue size", "request timeout expired"


def retrying(call: Call) -> Retrying:
    """At most ATTEMPTS, with a random pause between them, and none that the deadline would cut off."""
    attempts = stop_after_attempt(ATTEMPTS)
    return Retrying(
        retry=retry_if_exception(nobody_there),
        wait=wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
        stop=lambda state: attempts(state) or call.left_s <= state.upcoming_sleep,
        before_sleep=_count,
        reraise=True,
    )


def nobody_there(problem: BaseException) -> bool:
    """UNAVAILABLE from the way to Triton, not from its queues: inference has no side effect, so asking twice does no harm.

    CANCELLED, too: a server that ends says that of some of its requests (where a client disconnected, CallerGone is raised instead).
    """
    if not isinstance(problem, InferenceServerException) or problem.status() not in ABSENT:
        return False
    message = (problem.message() or "").lower()
    return QUEUE_FULL not in message and QUEUED_TOO_LONG not in message


def _count(_: RetryCallState) -> None:
    metrics.RETRIES.inc()
