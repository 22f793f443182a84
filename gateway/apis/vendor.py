"""What a vendor module is made of, and what all of them need. No vendor's names are in here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, current_app, request
from werkzeug.datastructures import FileStorage

from gateway import forms
from gateway.apis.services import services
from gateway.errors import GatewayError, ImageWithoutName, MalformedBody, MissingImage
from gateway.faces import Analysis
from gateway.pictures.decoding import rules_of


@dataclass(frozen=True, slots=True)
class Vendor:
    """One API: where it lives, how it fails. `paired` keys have a public identifier and a secret."""

    name: str
    prefixes: tuple[str, ...]
    blueprint: Blueprint
    fail: Callable[[GatewayError], Response]
    paired: bool = False
    cors: bool = False

    def owns(self, path: str) -> bool:
        """Whether an unmatched path is this vendor's to refuse."""
        return path.startswith(self.prefixes)


def json_answer(body: Mapping[str, Any], status: int = 200, *, retry_after_s: int | None = None) -> Response:
    """Keys in the order given; no NaN; UTF-8."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    response = current_app.response_class(text, status, mimetype="application/json")
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


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
