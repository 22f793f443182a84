"""What happens to every request for an analysis before its view runs: a place at the gate, the body, a deadline."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack, suppress
from contextvars import Token

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException

from gateway import metrics
from gateway.deadline import CURRENT, TIMEOUT_HEADER, Call
from gateway.errors import GatewayError, InvalidParameter, Overloaded
from gateway.intake.gate import Gate, Place
from gateway.intake.latency_estimate import Pace
from gateway.intake.uploads import Uploads
from gateway.settings import Settings

# What is refused is read all the same, for so long: a connection that is closed on unread bytes takes the answer with it.
SWALLOW_S = 0.5


def install(app: Flask, settings: Settings, pace: Pace) -> None:
    """Hook the gate around every analysis. Probes, metrics and pages pass by it."""
    uploads, swallowed = Uploads(settings.upload_s), Uploads(SWALLOW_S)
    gate = Gate(settings.max_in_flight, settings.max_present, settings.max_wait_s, pace)

    @app.before_request
    def enter() -> None:
        if not is_analysis():
            return
        places = g.places = ExitStack()
        try:
            places.enter_context(gate.present())
        except Overloaded:
            with suppress(GatewayError, HTTPException):
                swallowed.read()
            raise
        allowed_s = timeout_s(settings.deadline_s)
        started = time.perf_counter()
        uploads.read()
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
    """Whether this request makes us decode a picture: all that is posted does."""
    return request.url_rule is not None and request.method == "POST"


def timeout_s(longest_s: float) -> float:
    """What the caller allows, never more than `longest_s`. Raises InvalidParameter."""
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
