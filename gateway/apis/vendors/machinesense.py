"""MachineSense age, gender and expression (vendor-apis.md, chapter 3)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from gateway import errors as e
from gateway.apis.openapi import describe
from gateway.apis.rounding import whole
from gateway.apis.services import services
from gateway.apis.vendor import Vendor, analyze, json_answer, json_object, look_up
from gateway.apis.vendors.schemas import MachineSenseAnswer
from gateway.callers.admission import Credentials
from gateway.faces import Face

FORMATS = frozenset({"jpeg", "png", "bmp", "webp"})
DATA_URL = re.compile(r"\s*data:[^,]{0,200};base64,", re.IGNORECASE)
# This API's expressions by ours, in its order.
EXPRESSIONS = {
    "neutral": "neutral",
    "happy": "happy",
    "sad": "sad",
    "angry": "angry",
    "fear": "fearful",
    "disgust": "disgusted",
    "surprise": "surprised",
}

# Code and message by error. The HTTP status is 200 except for routing.
ERRORS: dict[type[e.GatewayError], tuple[int, str]] = {
    e.MalformedBody: (1, "request body is not a JSON object"),
    e.KeyMissing: (2, "api_key is missing"),
    e.KeyInvalid: (3, "api_key is not valid"),
    e.AccountSuspended: (3, "api_key is not valid"),
    e.MissingImage: (4, "image is missing or is not base64"),
    e.ImageWithoutName: (4, "image is missing or is not base64"),
    e.BodyTooLarge: (6, "image is too large"),
    e.ImageTooLarge: (6, "image is too large"),
    e.NoFace: (7, "no face found"),
    e.QuotaExceeded: (8, "quota exceeded"),
    e.RateLimited: (9, "rate limit exceeded"),
    e.UnknownPath: (404, "not found"),
    e.MethodNotAllowed: (405, "method not allowed"),
    e.RequestError: (5, "image cannot be decoded"),
    e.GatewayError: (99, "service unavailable"),
}

blueprint = Blueprint("machinesense", __name__)


@blueprint.post("/faceapi/v1/face_age_detection")
@describe(
    summary="MachineSense: age of the largest face",
    json={"image": "text", "api_key": "text"},
    answer=MachineSenseAnswer,
    error=MachineSenseAnswer,
)
def face_age_detection() -> Response:
    """Age of the largest face."""
    return _answer("age", render_age)


@blueprint.post("/faceapi/v1/face_gender_detection")
@describe(
    summary="MachineSense: gender of the largest face",
    json={"image": "text", "api_key": "text"},
    answer=MachineSenseAnswer,
    error=MachineSenseAnswer,
)
def face_gender_detection() -> Response:
    """Gender of the largest face."""
    return _answer("gender", render_gender)


@blueprint.post("/faceapi/v1/face_expression_detection")
@describe(
    summary="MachineSense: expression of the largest face",
    json={"image": "text", "api_key": "text"},
    answer=MachineSenseAnswer,
    error=MachineSenseAnswer,
)
def face_expression_detection() -> Response:
    """Seven expressions of the largest face."""
    return _answer("emotion", render_expression)


def render_age(face: Face) -> dict[str, Any]:
    """`data` of the age call."""
    return {"age": max(0, whole(face.age or 0.0))}


def render_gender(face: Face) -> dict[str, Any]:
    """`data` of the gender call."""
    if face.gender is None:
        raise e.ModelContractError
    said = face.gender.dominant
    return {"gender": {"male": "M", "female": "F"}[said], "genderProbability": whole(100 * face.gender[said])}


def render_expression(face: Face) -> dict[str, Any]:
    """`data` of the expression call."""
    if face.emotion is None:
        raise e.ModelContractError
    return {theirs: whole(100 * face.emotion[ours]) for ours, theirs in EXPRESSIONS.items()}


def fail(error: e.GatewayError) -> Response:
    """Any error in this vendor's words."""
    code, message = look_up(ERRORS, error)
    wait = error.retry_after_s or 1 if code in (8, 9) else error.retry_after_s
    return json_answer(
        {"result": "Err", "code": code, "message": message, "data": {}}, code if code in (404, 405) else 200, retry_after_s=wait
    )


def _answer(attribute: str, render: Callable[[Face], dict[str, Any]]) -> Response:
    body = json_object()
    secret = body.get("api_key")
    key = services().admission.check("machinesense", Credentials(secret if isinstance(secret, str) else None))
    with services().admission.counted(key):
        analysis = analyze(_image(body.get("image")), FORMATS, (attribute,))
        if not analysis.faces:
            raise e.NoFace
        face = max(analysis.faces, key=lambda face: (face.box.area, face.confidence))
        return json_answer({"result": "Ok", "code": 0, "message": "", "data": render(face)})


def _image(value: object) -> bytes:
    if not isinstance(value, str):
        raise e.MissingImage
    text = "".join(DATA_URL.sub("", value, count=1).split()).rstrip("=")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise e.MissingImage from None
    if not data:
        raise e.MissingImage
    return data


VENDOR = Vendor("machinesense", ("/faceapi/",), blueprint, fail)
