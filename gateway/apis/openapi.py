"""The OpenAPI document, made from the views' `describe` and the typed models, and its browsable page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from apispec import APISpec
from flask import Blueprint, Flask, Response, current_app, jsonify, send_from_directory
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from gateway import __version__
from gateway.apis.call import Call
from gateway.apis.problems import MEDIA_TYPE
from gateway.deadline import TIMEOUT_HEADER
from gateway.errors import GatewayError
from gateway.v1_schema import Problem, Sent

blueprint = Blueprint("documentation", __name__)
View = TypeVar("View", bound=Callable[..., Any])
SWAGGER_UI = str(files("flask_openapi3_swagger") / "templates" / "swagger")
REFERENCE = "#/components/schemas/"
HEADERS = {TIMEOUT_HEADER: {"type": "number", "exclusiveMinimum": 0, "description": "seconds that the caller waits", "examples": [5]}}
# Swagger UI sets styles on its elements.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


_OPERATIONS: dict[str, describe] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class describe:
    """Decorator that documents a view.

    `call` has the fields of the body and the headers of the key, `other` the fields of the other kind of body that the route takes, `query`
    those of the query. `error` is the body of every failure; without it, RFC 9457. `failures`: bodies of further statuses. `image_body`: an
    image in any of the three kinds of body of /v1, with the options that this JSON has beside it.
    """

    summary: str
    answer: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    image_body: type[Sent] | None = None
    call: Call | None = None
    other: Call | None = None
    headers: Sequence[str] = ()
    media_type: str | Sequence[str] = "application/json"
    status: int = 200
    error: type[BaseModel] | None = None
    failures: Mapping[int, type[BaseModel]] = field(default_factory=dict)

    def __call__(self, view: View) -> View:
        """Attach this to the view."""
        _OPERATIONS[f"{view.__module__}.{view.__qualname__}"] = self
        return view


def file_fields() -> frozenset[str]:
    """Names of the form fields in which some view takes a file."""
    named = {operation.call.picture for operation in _OPERATIONS.values() if operation.call and not operation.call.json}
    return frozenset(named | {"image" for operation in _OPERATIONS.values() if operation.image_body})


@blueprint.get("/openapi.json")
@describe(summary="This document")
def openapi() -> Response:
    """GET /openapi.json."""
    return jsonify(_document(current_app._get_current_object()))  # type: ignore[attr-defined]


@blueprint.get("/docs")
def docs() -> Response:
    """The document as a page; every file comes from this server."""
    page = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Vultus API {__version__}</title>
<link rel="stylesheet" href="docs/css/swagger-ui.css"><link rel="icon" href="docs/images/swagger.svg"></head>
<body><div id="ui"></div><script src="docs/js/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body></html>"""
    return _guarded(Response(page, mimetype="text/html"))


@blueprint.get("/docs/start.js")
def start() -> Response:
    """Starts the page; a file of its own so that no inline script is needed."""
    return _guarded(Response('SwaggerUIBundle({url: "../openapi.json", dom_id: "#ui"});', mimetype="text/javascript"))


@blueprint.get("/docs/<path:name>")
def docs_file(name: str) -> Response:
    """Files of Swagger UI."""
    return _guarded(send_from_directory(SWAGGER_UI, name))


def _guarded(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@cache
def _document(app: Flask) -> dict[str, Any]:
    bodies = [body for op in _OPERATIONS.values() for body in (op.answer, op.error, *op.failures.values()) if body]
    models: set[type[BaseModel]] = {*bodies, Problem, *(op.image_body for op in _OPERATIONS.values() if op.image_body)}
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "serialization") for model in sorted(models, key=lambda m: m.__name__)]
    _, schemas = models_json_schema(wanted, ref_template=REFERENCE + "{model}")
    spec = APISpec(
        "Vultus", __version__, "3.1.0", info={"description": "Open, self-hosted face analysis.", "license": {"name": "Apache-2.0"}}
    )
    for name, schema in schemas["$defs"].items():
        spec.components.schema(name, schema)
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        operation = _OPERATIONS.get(f"{view.__module__}.{view.__qualname__}")
        if operation:
            methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            spec.path(path, operations={method.lower(): _operation(operation, rule.endpoint, rule.arguments) for method in methods})
    document: dict[str, Any] = spec.to_dict()
    return document


def _operation(operation: describe, endpoint: str, arguments: Iterable[str]) -> dict[str, Any]:
    schema = {"$ref": REFERENCE + operation.answer.__name__} if operation.answer else {}
    media_types = [operation.media_type] if isinstance(operation.media_type, str) else operation.media_type
    content = {media_type: {"schema": schema} for media_type in media_types}
    entry: dict[str, Any] = {
        "operationId": endpoint.replace(".", "_"),
        "summary": operation.summary,
        "tags": [endpoint.partition(".")[0]],
        "responses": {str(operation.status): {"description": "OK", "content": content}, **_failures(operation)},
    }
    call, text, binary = operation.call, {"type": "string"}, {"type": "string", "format": "binary"}
    query = _fields(operation.image_body or operation.query)
    parameters: list[dict[str, Any]] = [{"in": "path", "name": name, "required": True, "schema": text} for name in sorted(arguments)]
    headers = (*(call.headers if call else ()), *operation.headers)
    parameters += [{"in": "header", "name": name, "schema": HEADERS.get(name, text)} for name in headers]
    parameters += [{"in": "query", "name": name, **about} for name, about in query.items()]
    if parameters:
        entry["parameters"] = parameters
    if call:
        entry["requestBody"] = {"required": True, "content": dict(_body(each) for each in (call, operation.other) if each)}
    if operation.image_body:
        form = {"image": binary} | {name: {**about["schema"], "description": about["description"]} for name, about in query.items()}
        entry["requestBody"] = {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": {"type": "object", "required": ["image"], "properties": form}},
                "image/*": {"schema": binary},
                "application/json": {"schema": {"$ref": REFERENCE + operation.image_body.__name__}},
            },
        }
    return entry


def _body(call: Call) -> tuple[str, dict[str, Any]]:
    """Media type and what OpenAPI says of a body of that type."""
    properties = {name: {"type": "string", **({"format": "binary"} if what == "file" else {})} for name, what in call.fields.items()}
    schema = {"type": "object", "required": list(properties), "properties": properties}
    return "application/json" if call.json else "multipart/form-data", {"schema": schema}


def _fields(model: type[BaseModel] | None) -> dict[str, dict[str, Any]]:
    """Description and schema of each field as text has it, in a query or a form; without the image itself."""
    fields: dict[str, dict[str, Any]] = {}
    for name, whole in model.model_json_schema()["properties"].items() if model else ():
        if name in Sent.model_fields:
            continue
        schema = {key: whole[key] for key in whole if key not in ("title", "description", "anyOf")} | whole.get("anyOf", [{}])[0]
        fields[name] = {"description": whole["description"], "schema": {key: schema[key] for key in schema if schema[key] is not None}}
    return fields


def _failures(operation: describe) -> dict[str, Any]:
    if operation.error:
        return {"default": _failure("Failure", "application/json", operation.error)}
    if not operation.image_body:
        return {str(status): _failure("Failure", "application/json", body) for status, body in operation.failures.items()}
    by_status: dict[int, list[str]] = {}
    for error in _leaves(GatewayError):
        by_status.setdefault(error.status, []).append(error.code)
    return {str(status): _failure(", ".join(sorted(codes)), MEDIA_TYPE, Problem) for status, codes in sorted(by_status.items())}


def _failure(about: str, media_type: str, body: type[BaseModel]) -> dict[str, Any]:
    return {"description": about, "content": {media_type: {"schema": {"$ref": REFERENCE + body.__name__}}}}


def _leaves(error: type[GatewayError]) -> list[type[GatewayError]]:
    children = error.__subclasses__()
    return [leaf for child in children for leaf in _leaves(child)] if children else [error]
