"""Parse a request of /v1 with an image: one of three kinds of body, and options in the query, a form or JSON.

Nothing is ignored silently: an unknown or repeated parameter is an error that names it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from gateway import forms
from gateway.apis.services import services
from gateway.deadline import wait_for_others
from gateway.errors import InvalidParameter, MalformedBody, MissingImage, TooManyImages, UnsupportedEncoding, UnsupportedImage, named

M = TypeVar("M", bound=BaseModel)
ALL = "all"  # of the attributes
MUST_BE = {
    "attributes": "a text with names between commas",
    "max_faces": "a whole number from 1 to 128",
    "min_confidence": "a number from 0 to 1",
    "min_face_px": "a whole number from 0 to 16384",
    "order": "confidence or size",
    "show": "a text with names between commas",
    "method": "blur, pixelate or cover",
    "margin": "a number from 0 to 1",
}

Options = Mapping[str, Any]


def image_and_options(model: type[M], caller: int | None) -> tuple[bytes, M]:
    """The image, and the options from query and body as `model`. `caller`: the key's number. Raises RequestError of many kinds."""
    query = query_options(model)
    data, beside = _image_and_options(tuple(model.model_fields), caller)
    return data, read_options(model, query, beside)


def query_options(model: type[BaseModel]) -> Options:
    """Options in the query. Raises InvalidParameter."""
    options = tuple(model.model_fields)
    names = [name for name, _ in request.args.items(multi=True)]
    unknown = next((name for name in names if name not in options), None)
    if unknown is not None:
        raise InvalidParameter(f"The query takes {_listed(options)} only, not {named(unknown, 'what is there beside them')}.")
    _once(names, "the query")
    return request.args.to_dict()


def _image_and_options(options: tuple[str, ...], caller: int | None) -> tuple[bytes, Options]:
    """The image, from whichever of the three kinds of body this is, and the options beside it."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedEncoding(f"Send the body without Content-Encoding, not with {named(encoding, 'one')}.")
    kind = request.mimetype
    if kind == forms.MULTIPART:
        return _from_form(options)
    if kind == "application/json":
        return _from_json(options, caller)
    if kind.startswith("image/") or kind in ("application/octet-stream", ""):
        return bytes(request.get_data(cache=False)), {}
    raise UnsupportedImage("Send multipart/form-data, image/* or application/json.")


def read_options(model: type[M], query: Options, beside: Options) -> M:
    """All options together. Raises InvalidParameter."""
    _once([*query, *beside], "the query and the body together")
    try:
        return model.model_validate({**query, **beside})
    except ValidationError as problem:
        name = str(problem.errors()[0]["loc"][0])
    raise InvalidParameter(f"{name} must be {MUST_BE[name]}.")


def attribute_names(asked: str | list[str]) -> tuple[str, ...]:
    """Each once, in the order asked for."""
    names = asked.split(",") if isinstance(asked, str) else asked
    return tuple(dict.fromkeys(name.strip().lower() for name in names if name.strip()))


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _from_form(options: tuple[str, ...]) -> tuple[bytes, Options]:
    form = forms.current()
    if form.form_problem:
        raise MalformedBody(form.form_problem)
    images = [part.stream.read() for part in form.files.getlist("image")] + form.unnamed.getlist("image")
    if not images:
        raise MissingImage("The form needs a file field named image.")
    if len(images) > 1:
        raise TooManyImages("The form has more than one field named image.")
    texts = [name for name, _ in form.unnamed.items(multi=True) if name != "image"]
    unknown = [name for name in texts if name not in options] + [name for name in form.files if name != "image"]
    if unknown:
        what = named(unknown[0], "one that is something else")
        raise InvalidParameter(f"The form takes a file field named image and the text fields {_listed(options)}, not {what}.")
    _once(texts, "the form")
    return images[0], {name: form.form[name] for name in texts}


def _from_json(names: tuple[str, ...], caller: int | None) -> tuple[bytes, Options]:
    body = _json_object()
    options = {name: body.pop(name) for name in names if name in body}
    unknown = next((name for name in body if name not in ("image", "url")), None)
    if len(body) == 2 and unknown and isinstance(body.get("image", body.get("url")), str):
        raise InvalidParameter(f"The JSON object takes image or url, {_listed(names)}, not {named(unknown, 'what else is there')}.")
    if len(body) != 1 or not isinstance(body.get("image", body.get("url")), str):
        raise MissingImage("The JSON object needs exactly one text field, named image or url.")
    if "url" in body:
        wait_for_others()
        with services().fetcher.admitted(caller):
            return services().fetcher.fetch(body["url"]), options
    head, comma, tail = body["image"].partition(",")
    text = tail if comma and head.startswith("data:") else body["image"]
    try:
        return base64.b64decode("".join(text.split()), validate=True), options
    except (binascii.Error, ValueError):
        raise MalformedBody("image is not valid base64.") from None


def _json_object() -> dict[str, Any]:
    try:
        body = json.loads(request.get_data(cache=False), object_pairs_hook=_unambiguous)
    except (ValueError, RecursionError):
        raise MalformedBody("The body is not a JSON object.") from None
    if not isinstance(body, dict):
        raise MalformedBody("The body is not a JSON object.")
    return body


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _once((name for name, _ in pairs), "the JSON object")
    return dict(pairs)


def _once(names: Iterable[str], where: str) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InvalidParameter(f"{named(twice, 'Something')} is given more than once in {where}.")
