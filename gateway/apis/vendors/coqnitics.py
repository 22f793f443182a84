"""Coqnitics Face API (vendor-apis.md, chapter 6)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Blueprint, Response, request
from pydantic import Field

from gateway import errors as e
from gateway.apis.call import Call
from gateway.apis.openapi import describe
from gateway.apis.rounding import corners, percent, whole
from gateway.apis.vendor import Vendor, analyze, example, file_part, json_answer, look_up, preflight, refusal
from gateway.faces import Analysis, Face
from gateway.v1_schema import Probability, Strict

FORMATS = frozenset({"jpeg", "png"})
GENDERS = {"male": "Male", "female": "Female"}
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
LANDMARKS = ("eyeLeft", "eyeRight", "nose", "lipLeft", "lipRight")


class CoqniticsBox(Strict):
    """Top left corner and size."""

    x: int
    y: int
    w: int
    h: int


class CoqniticsGender(Strict):
    """`confidence` in percent."""

    value: Literal["Male", "Female"]
    confidence: Annotated[float, Field(ge=50, le=100)]


class CoqniticsLandmark(Strict):
    """One of five points."""

    type: Literal["eyeLeft", "eyeRight", "nose", "lipLeft", "lipRight"]
    x: int
    y: int


class CoqniticsFace(Strict):
    """One face."""

    faceConfidence: Probability
    boundingBox: CoqniticsBox
    age: Annotated[int, Field(ge=0)]
    gender: CoqniticsGender
    emotions: dict[str, Probability]
    landmarks: Annotated[list[CoqniticsLandmark], Field(min_length=5, max_length=5)]


class CoqniticsAnswer(Strict):
    """Answer of analyze."""

    model_config = example(
        """{"faces": [{"faceConfidence": 0.999996542930603,
        "boundingBox": {"x": 296, "y": 60, "w": 89, "h": 115},
        "age": 24, "gender": {"value": "Female", "confidence": 100},
        "emotions": {"angry": 0.0, "disgust": 0.0,
        "fear": 0.0, "happy": 0.99, "sad": 0.0, "surprise": 0.01, "neutral": 0.0},
        "landmarks": [{"type": "eyeLeft", "x": 323, "y": 107},
        {"type": "eyeRight", "x": 364, "y": 108},
        {"type": "nose", "x": 341, "y": 131}, {"type": "lipLeft", "x": 320, "y": 145},
        {"type": "lipRight", "x": 361, "y": 147}]}]}"""
    )

    faces: list[CoqniticsFace]


class CoqniticsError(Strict):
    """Any failure."""

    error: dict[str, str]


ERRORS: dict[type[e.GatewayError], tuple[int, str, str]] = {
    e.MissingImage: (400, "MISSING_FILE", "No file in field filename"),
    e.ImageWithoutName: (400, "MISSING_FILE", "Field filename has no file name, so it is no file"),
    e.MalformedBody: (400, "MISSING_FILE", "No file in field filename"),
    e.KeyMissing: (401, "INVALID_KEYS", "Missing or invalid access_key or secret_key"),
    e.KeyInvalid: (401, "INVALID_KEYS", "Missing or invalid access_key or secret_key"),
    e.AccountSuspended: (401, "INVALID_KEYS", "Missing or invalid access_key or secret_key"),
    e.UnknownPath: (404, "NOT_FOUND", "Not found"),
    e.MethodNotAllowed: (405, "METHOD_NOT_ALLOWED", "Method not allowed"),
    e.BodyTooLarge: (413, "FILE_TOO_LARGE", "File too large"),
    e.ImageTooLarge: (413, "FILE_TOO_LARGE", "File too large"),
    e.QuotaExceeded: (429, "QUOTA_EXCEEDED", "Quota exceeded"),
    e.RateLimited: (429, "RATE_LIMITED", "Too many requests"),
    e.UpstreamError: (503, "SERVICE_UNAVAILABLE", "Service unavailable"),
    e.RequestError: (415, "UNREADABLE_IMAGE", "File is not a readable JPEG or PNG image"),
    e.GatewayError: (500, "INTERNAL_ERROR", "Internal error"),
}

ANALYZE = Call("/analyze", "filename", "secret_key", "access_key", key_in_body=True)

blueprint = Blueprint("coqnitics", __name__)


@blueprint.post(ANALYZE.path, provide_automatic_options=False)
@describe(summary="Coqnitics: analyze", call=ANALYZE, answer=CoqniticsAnswer, error=CoqniticsError)
def analyze_faces() -> Response:
    """Age, gender, emotions, box and five points of every face."""
    if request.mimetype != "multipart/form-data":
        raise e.MissingImage
    with VENDOR.admitted(ANALYZE):
        return json_answer(render(analyze(file_part(ANALYZE.picture), FORMATS, ("age", "gender", "emotion"))))


@blueprint.route(ANALYZE.path, methods=["OPTIONS"])
def asked_before() -> Response:
    """Browsers ask before they post."""
    return preflight("*")


def render(analysis: Analysis) -> dict[str, Any]:
    """The body of `analyze`."""
    return {"faces": [_face(face, analysis) for face in analysis.faces]}


def fail(error: e.GatewayError) -> Response:
    """Any error in this vendor's words."""
    status, code, message = look_up(ERRORS, error)
    return refusal({"error": {"code": code, "message": message}}, status, error)


def _face(face: Face, analysis: Analysis) -> dict[str, Any]:
    if face.gender is None or face.emotion is None or face.age is None:
        raise e.ModelContractError
    x1, y1, x2, y2 = corners(face.box, analysis.width_px, analysis.height_px)
    said = face.gender.dominant
    confidence = percent(face.gender[said], 2)
    return {
        "faceConfidence": face.confidence,
        "boundingBox": {"x": x1, "y": y1, "w": x2 - x1, "h": y2 - y1},
        "age": max(0, whole(face.age)),
        "gender": {"value": GENDERS[said], "confidence": int(confidence) if confidence == int(confidence) else confidence},
        "emotions": {label: face.emotion[label] for label in EMOTIONS},
        "landmarks": [{"type": name, "x": whole(x), "y": whole(y)} for name, (x, y) in zip(LANDMARKS, face.keypoints, strict=True)],
    }


VENDOR = Vendor("coqnitics", "Coqnitics", ("/analyze",), blueprint, fail, (ANALYZE,), cors=True)
