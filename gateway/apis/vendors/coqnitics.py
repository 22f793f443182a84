"""Coqnitics Face API (vendor-apis.md, chapter 6)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from gateway import errors as e
from gateway.apis.openapi import describe
from gateway.apis.rounding import corners, percent, whole
from gateway.apis.services import services
from gateway.apis.vendor import Vendor, analyze, file_part, json_answer, look_up
from gateway.apis.vendors.schemas import CoqniticsAnswer, CoqniticsError
from gateway.callers.admission import Credentials
from gateway.faces import Analysis, Face

FORMATS = frozenset({"jpeg", "png"})
GENDERS = {"male": "Male", "female": "Female"}
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
LANDMARKS = ("eyeLeft", "eyeRight", "nose", "lipLeft", "lipRight")

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

blueprint = Blueprint("coqnitics", __name__)


@blueprint.post("/analyze", provide_automatic_options=False)
@describe(
    summary="Coqnitics: analyze",
    form={"filename": "file", "access_key": "text", "secret_key": "text"},
    answer=CoqniticsAnswer,
    error=CoqniticsError,
)
def analyze_faces() -> Response:
    """Age, gender, emotions, box and five points of every face."""
    if request.mimetype != "multipart/form-data":
        raise e.MissingImage
    credentials = Credentials(request.form.get("secret_key"), request.form.get("access_key"), paired=True)
    key = services().admission.check("coqnitics", credentials)
    with services().admission.counted(key):
        return json_answer(render(analyze(file_part("filename"), FORMATS, ("age", "gender", "emotion"))))


@blueprint.route("/analyze", methods=["OPTIONS"])
def preflight() -> Response:
    """Browsers ask before they post."""
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = "POST, OPTIONS"
    response.headers["Access-Control-Allow-Headers"] = "*"
    return response


def render(analysis: Analysis) -> dict[str, Any]:
    """The body of `analyze`."""
    return {"faces": [_face(face, analysis) for face in analysis.faces]}


def fail(error: e.GatewayError) -> Response:
    """Any error in this vendor's words."""
    status, code, message = look_up(ERRORS, error)
    wait = {429: error.retry_after_s or 1, 503: 5}.get(status)
    return json_answer({"error": {"code": code, "message": message}}, status, retry_after_s=wait)


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


VENDOR = Vendor("coqnitics", ("/analyze",), blueprint, fail, paired=True, cors=True)
