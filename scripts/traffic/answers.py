"""Whether an answer is right, a clean refusal, or wrong."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import Any

# What differs between two right answers to the same request.
VARYING = frozenset({"request_id", "request_uuid", "log_id", "timings_ms", "latency_ms", "result"})
REFUSALS = frozenset({429, 502, 503, 504})
SERVICE_UNAVAILABLE = 99  # MachineSense's code, under HTTP status 200


class Verdict(enum.StrEnum):
    """Of one request."""

    RIGHT = "right"
    REFUSED = "clean error"
    WRONG = "wrong"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body; None where the body is not JSON."""

    status: int
    body: Any


def read(status: int, data: bytes) -> Answer:
    """An answer from what came over the wire."""
    try:
        return Answer(status, json.loads(data))
    except ValueError:
        return Answer(status, None)


def judge(answer: Answer, right: Answer) -> Verdict:
    """Against the known right answer to the same request."""
    if not isinstance(answer.body, dict):
        return Verdict.WRONG
    if answer.status in REFUSALS or (answer.status == 200 and answer.body.get("code") == SERVICE_UNAVAILABLE):
        return Verdict.REFUSED
    return Verdict.RIGHT if answer.status == right.status and _close(answer.body, right.body) else Verdict.WRONG


def _close(one: Any, other: Any) -> bool:
    """Same structure and texts; numbers may differ in their last place, because batches are put together differently."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(_is_free(key, one[key]) or _close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_close(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, bool) or isinstance(other, bool) or isinstance(one, str) or one is None:
        return bool(one == other)
    if isinstance(one, int) and isinstance(other, int):
        return abs(one - other) <= 1
    return isinstance(one, int | float) and isinstance(other, int | float) and abs(one - other) <= 0.02 + 0.002 * abs(other)


def _is_free(key: str, value: Any) -> bool:
    return key in VARYING and not isinstance(value, list)
