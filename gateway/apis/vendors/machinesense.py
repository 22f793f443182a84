"""MachineSense age, gender and expression (vendor-apis.md, chapter 3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from flask import Blueprint, Response

from gateway import errors as e
from gateway.apis.call import Call
from gateway.apis.openapi import describe
from gateway.apis.rounding import whole
from gateway.apis.vendor import Vendor, analyze, example, from_base64, json_answer, json_object, look_up
from gateway.faces import Face
from gateway.v1_schema import Strict

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


class MachineSenseAnswer(Strict):
    """Success and failure alike."""

    model_config = example("""{"result": "Ok", "code": 0, "message": "", "data": {"age": 31}}""")

    result: Literal["Ok", "Err"]
    code: int
    message: str
    data: dict[str, int | str]


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

AGE, GENDER, EXPRESSION = (
    Call(f"/faceapi/v1/face_{name}_detection", "image", "api_key", json=True, key_in_body=True) for name in ("age", "gender", "expression")
)

blueprint = Blueprint("machinesense", __name__)


@blueprint.post(AGE.path)
@describe(summary="MachineSense: age of the largest face", call=AGE, answer=MachineSenseAnswer, error=MachineSenseAnswer)
def face_age_detection() -> Response:
    """Age of the largest face."""
    return _answer(AGE, "age", render_age)


@blueprint.post(GENDER.path)
@describe(summary="MachineSense: gender of the largest face", call=GENDER, answer=MachineSenseAnswer, error=MachineSenseAnswer)
def face_gender_detection() -> Response:
    """Gender of the largest face."""
    return _answer(GENDER, "gender", render_gender)


@blueprint.post(EXPRESSION.path)
@describe(summary="MachineSense: expression of the largest face", call=EXPRESSION, answer=MachineSenseAnswer, error=MachineSenseAnswer)
def face_expression_detection() -> Response:
    """Seven expressions of the largest face."""
    return _answer(EXPRESSION, "emotion", render_expression)


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


def _answer(call: Call, attribute: str, render: Callable[[Face], dict[str, Any]]) -> Response:
    body = json_object()
    with VENDOR.admitted(call, body):
        analysis = analyze(_image(body.get(call.picture)), FORMATS, (attribute,))
        if not analysis.faces:
            raise e.NoFace
        face = max(analysis.faces, key=lambda face: (face.box.area, face.confidence))
        return json_answer({"result": "Ok", "code": 0, "message": "", "data": render(face)})


def _image(value: object) -> bytes:
    if not isinstance(value, str):
        raise e.MissingImage
    try:
        data = from_base64(DATA_URL.sub("", value, count=1))
    except ValueError:
        raise e.MissingImage from None
    if not data:
        raise e.MissingImage
    return data


VENDOR = Vendor("machinesense", "MachineSense", ("/faceapi/",), blueprint, fail, (AGE, GENDER, EXPRESSION))
