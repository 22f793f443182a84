"""Building blocks of vendor modules. Knows no vendor by name."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any

from flask import Blueprint, Response, current_app, request
from pydantic import ConfigDict, Field
from werkzeug.datastructures import FileStorage

from gateway import forms
from gateway.apis.call import Call
from gateway.apis.services import services
from gateway.callers.keys import Key
from gateway.errors import GatewayError, ImageWithoutName, MalformedBody, MissingImage
from gateway.faces import Analysis
from gateway.pictures.decoding import rules_of

FourInts = Annotated[list[int], Field(min_length=4, max_length=4)]


@dataclass(frozen=True, slots=True)
class Vendor:
    """One API: where it lives, how it fails, how it is called. The first of `calls` is its sample; `title` is its name for people.

    A path that nothing serves is the vendor's to refuse whose prefix of it is the longest.
    """

    name: str
    title: str
    prefixes: tuple[str, ...]
    blueprint: Blueprint
    fail: Callable[[GatewayError], Response]
    calls: tuple[Call, ...]
    cors: bool = False

    @property
    def paired(self) -> bool:
        """Whether its keys have a public identifier besides the secret."""
        return bool(self.calls[0].identifier)

    def admitted(self, call: Call, body: Mapping[str, Any] | None = None) -> AbstractContextManager[Key | None]:
        """Check the key, then count the call unless the block fails. `body`: the JSON, if the key is in there."""
        return services().admission.admitted(self.name, call.credentials(body))


def json_answer(body: Mapping[str, Any], status: int = 200, *, retry_after_s: int | None = None) -> Response:
    """Keys in the order given; no NaN; UTF-8."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    response = current_app.response_class(text, status, mimetype="application/json")
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def refusal(body: Mapping[str, Any], status: int, error: GatewayError) -> Response:
    """An error's body; 429 asks to wait as long as the error says, 503 for five seconds."""
    return json_answer(body, status, retry_after_s={429: error.retry_after_s or 1, 503: 5}.get(status))


def example(answer: str) -> ConfigDict:
    """The configuration of a body's schema that shows this JSON."""
    return ConfigDict(json_schema_extra={"examples": [json.loads(answer)]})


def preflight(headers: str) -> Response:
    """What a browser is told that asks before it posts: it may, with these headers."""
    response = current_app.response_class(status=204)
    response.headers["Access-Control-Allow-Methods"] = "POST, OPTIONS"
    response.headers["Access-Control-Allow-Headers"] = headers
    return response


def from_base64(text: str) -> bytes:
    """Bytes of base64 that may have spaces and lack padding. Raises ValueError."""
    packed = "".join(text.split()).rstrip("=")
    return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)


def json_object() -> dict[str, Any]:
    """The body as a JSON object, whatever its content type. Raises MalformedBody."""
    try:
        body = json.loads(request.get_data(cache=False))
    except (ValueError, RecursionError):
        raise MalformedBody from None
    if not isinstance(body, dict):
        raise MalformedBody
    return body


def look_up(table: Mapping[type[GatewayError], Any], error: GatewayError) -> Any:
    """The row of the error's class or of its nearest base."""
    return next(table[kind] for kind in type(error).__mro__ if kind in table)


def file_part(field: str) -> bytes:
    """The first file part of that name. Raises MissingImage, ImageWithoutName."""
    return file_parts(field)[0].stream.read()


def file_parts(field: str) -> list[FileStorage]:
    """All file parts of that name, at least one. Raises MissingImage, ImageWithoutName when there are only parts without a file name."""
    form = forms.current()
    parts = form.files.getlist(field)
    if not parts:
        raise ImageWithoutName if field in form.unnamed else MissingImage
    return parts


def analyze(data: bytes, formats: frozenset[str], wanted: Sequence[str]) -> Analysis:
    """Decode under the deployment's limits and analyse. Raises UpstreamUnavailable when an attribute has no model here."""
    settings = services().settings
    picture = services().decoders.decode(data, rules_of(settings, formats), settings.working_side_px)
    return services().analyzer.analyze(picture, wanted, all_needed=True)
