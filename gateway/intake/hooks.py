"""Steps before the view of an analysis runs: a place at the gate, the key, the body, a deadline."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import Token

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException

from gateway import metrics
from gateway.deadline import CURRENT, TIMEOUT_HEADER, Call
from gateway.errors import GatewayError, InvalidParameter
from gateway.intake.gate import Gate, Place
from gateway.intake.latency_estimate import Pace
from gateway.intake.uploads import Uploads
from gateway.settings import Settings

# How long the body of a refused request is read: closing a connection with unread bytes would lose the answer.
SWALLOW_S = 0.5


def install(app: Flask, settings: Settings, pace: Pace, check_key: Callable[[], None]) -> None:
    """Hook the gate around every analysis. Probes, metrics and pages pass by it. `check_key` runs before the body is read."""
    uploads, swallowed = Uploads(settings.upload_s), Uploads(SWALLOW_S)
    gate = Gate(settings.max_in_flight, settings.max_present, settings.max_wait_s, pace)

    @app.before_request
    def enter() -> None:
        if not is_analysis():
            return
        places = g.places = ExitStack()
        try:
            places.enter_context(gate.present())
            check_key()
            allowed_s = timeout_s(settings.deadline_s)
            started = time.perf_counter()
            uploads.read()
        except (GatewayError, HTTPException):
            swallowed.drop()
            raise
        metrics.STAGE.labels("read").observe(time.perf_counter() - started)
        call = Call(time.monotonic() + allowed_s, request.environ.get("gunicorn.socket"))
        token: Token[Call | None] = CURRENT.set(call)
        places.callback(CURRENT.reset, token)
        call.place = Place(gate, call.ends_s)
        places.callback(call.place.give_back)

    @app.teardown_request
    def leave(_: BaseException | None) -> None:
        places: ExitStack | None = g.pop("places", None)
        if places:
            places.close()


def is_analysis() -> bool:
    """Whether this request needs a picture decoded: every POST does."""
    return request.url_rule is not None and request.method == "POST"


def timeout_s(longest_s: float) -> float:
    """Seconds that the caller allows, at most `longest_s`. Raises InvalidParameter."""
    text = request.headers.get(TIMEOUT_HEADER)
    if text is None:
        return longest_s
    try:
        asked_s = float(text)
    except ValueError:
        asked_s = math.nan
    if not asked_s > 0:
        raise InvalidParameter(f"{TIMEOUT_HEADER} must be a number of seconds above 0.")
    return min(asked_s, longest_s)
