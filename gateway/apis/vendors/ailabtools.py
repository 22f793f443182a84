"""AILabTools Face Analyzer Advanced (vendor-apis.md, chapter 5)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Annotated, Any, Literal

from flask import Blueprint, Response
from pydantic import Field

from gateway import errors as e
from gateway.apis.call import Call
from gateway.apis.openapi import describe
from gateway.apis.rounding import corners, whole
from gateway.apis.services import services
from gateway.apis.vendor import Vendor, file_part, json_answer, look_up, refusal
from gateway.faces import Analysis, Distribution, Face
from gateway.pictures.decoding import rules_of
from gateway.v1_schema import Percent, Probability, Strict

FORMATS = frozenset({"jpeg", "png", "bmp"})
MIN_SIDE_PX, MAX_SIDE_PX, MAX_PIXELS, MIN_FACE_PX, MAX_FACES = 33, 4095, 4095**2, 64, 10
WANTED = ("age", "gender", "emotion", "glasses", "mask", "hat", "beauty", "quality", "pose", "landmarks", "pupils")
GLASSES, MASKS = ("none", "regular", "sun"), ("none", "worn", "worn wrongly")
QUALITIES = ("score_list", "blur_list", "fnf_list", "glass_list", "illu_list", "mask_list", "noise_list", "pose_list")
POSE_LIMITS = (90.0, 90.0, 180.0)
LANDMARK_COUNT, DENSE_FEATURE_LENGTH = 105, 1024
RESOLUTION = "image: larger than 32x32, smaller than 4096x4096"
FACE_CASE = "File content does not meet requirements."


class AilabtoolsDetail(Strict):
    """What went wrong, if anything."""

    status_code: int
    code: str
    code_message: str
    message: str


class AilabtoolsQualities(Strict):
    """One number a face."""

    score_list: list[Percent]
    blur_list: list[Percent]
    fnf_list: list[Percent]
    glass_list: list[Percent]
    illu_list: list[Percent]
    mask_list: list[Percent]
    noise_list: list[Percent]
    pose_list: list[Percent]


class AilabtoolsData(Strict):
    """Flat parallel lists."""

    pupils: list[float]
    gender_list: list[Literal[0, 1]]
    expressions: list[Literal[0, 1]]
    face_count: Annotated[int, Field(ge=1, le=10)]
    landmarks: list[float]
    landmark_count: Literal[0, 105]
    beauty_list: list[Percent]
    hat_list: list[Literal[0, 1]]
    face_probability_list: list[Probability]
    glasses: list[Literal[0, 1, 2]]
    face_rectangles: list[int]
    pose_list: list[float]
    age_list: list[Annotated[int, Field(ge=0, le=100)]]
    dense_feature_length: Literal[1024]
    masks: list[Literal[0, 1, 2]]
    qualities: AilabtoolsQualities


class AilabtoolsError(Strict):
    """Any failure, and the part of a success before `data`."""

    request_id: str
    log_id: str
    error_code: int
    error_code_str: str
    error_msg: str
    error_detail: AilabtoolsDetail


class AilabtoolsAnswer(AilabtoolsError):
    """Success."""

    data: AilabtoolsData


# HTTP status, code, code_message, message.
ERRORS: dict[type[e.GatewayError], tuple[int, str, str, str]] = {
    e.MissingImage: (400, "MISSING_PARAMETERS", "Missing parameters.", "[image]"),
    e.ImageWithoutName: (400, "MISSING_PARAMETERS", "Missing parameters.", "[image]: the part has no file name"),
    e.KeyMissing: (401, "ERROR_USER_NOT_EXISTS", "Invalid or missing API key", "Unauthorized"),
    e.KeyInvalid: (401, "ERROR_USER_NOT_EXISTS", "Invalid or missing API key", "Unauthorized"),
    e.AccountSuspended: (403, "ERROR_USER_LOCKED", "The account has been locked.", "account locked"),
    e.UnknownPath: (404, "ERROR_AI_NOT_EXISTS", "AI does not exist or has been deactivated, please contact the platform.", "unknown path"),
    e.MethodNotAllowed: (405, "ERROR_INVALID_PARAMETER", "Invalid parameter.", "only POST is allowed"),
    e.BodyTooLarge: (413, "FILE_SIZE_EXCEEDS_LIMIT", "The file size exceeds the limit.", "image: no more than 20 MB"),
    e.ImageTooLarge: (
        413,
        "FILE_RESOLUTION_EXCEEDS_LIMITS",
        "The file resolution exceeds the limits.",
        RESOLUTION,
    ),
    e.ImageTooSmall: (
        413,
        "FILE_RESOLUTION_EXCEEDS_LIMITS",
        "The file resolution exceeds the limits.",
        RESOLUTION,
    ),
    e.UnsupportedImage: (415, "UNSUPPORTED_FILE_TYPES", "Unsupported file type.", "image: Only PNG, JPG, JPEG, BMP are supported."),
    e.NoFace: (422, "ERROR_NO_FACE_IN_FILE", "No face detected in the file.", "pic not has face"),
    e.FaceTooSmall: (422, "ERROR_FACE_SIZE_RATIO_NOT_MET", "The face size does not meet the requirements.", "face smaller than 64x64"),
    e.QuotaExceeded: (429, "ERROR_NOT_ENOUGH_CREDITS", "Not enough credits.", "quota exceeded"),
    e.RateLimited: (429, "EXCEEDING_LIMITS", "Rate limit exceeded.", "too many requests"),
    e.UpstreamUnavailable: (502, "AI_SERVICE_ERROR", "AI service error.", "model server error"),
    e.ModelContractError: (502, "AI_SERVICE_ERROR", "AI service error.", "model server error"),
    e.Overloaded: (503, "ERROR_INSUFFICIENT_RESOURCES", "Insufficient resources.", "queue full"),
    e.UpstreamOverloaded: (503, "ERROR_INSUFFICIENT_RESOURCES", "Insufficient resources.", "queue full"),
    e.UpstreamTimeout: (504, "AI_SERVICE_TIMEOUT", "AI service timeout.", "model server timeout"),
    e.RequestError: (422, "FILE_DECODING_FAILURE", "The file could not be decoded.", "image decode failed"),
    e.GatewayError: (500, "PROCESSING_FAILURE", "Processing failed.", "internal error"),
}

ANALYZER = Call("/api/portrait/analysis/face-analyzer-advanced", "image", "ailabapi-api-key")

blueprint = Blueprint("ailabtools", __name__)


@blueprint.post(ANALYZER.path)
@describe(summary="AILabTools: face analyzer advanced", call=ANALYZER, answer=AilabtoolsAnswer, error=AilabtoolsError)
def face_analyzer_advanced() -> Response:
    """Flat parallel lists over at most ten faces."""
    with VENDOR.admitted(ANALYZER):
        analysis = _analyze(file_part(ANALYZER.picture))
        return json_answer({**_public_fields(200, "", "", "", ""), "data": render(large_enough(analysis), analysis)})


def large_enough(analysis: Analysis) -> list[Face]:
    """The faces of at least 64x64 px, at most ten. Raises NoFace, FaceTooSmall."""
    if not analysis.faces:
        raise e.NoFace
    faces = []
    for face in analysis.faces:
        x1, y1, x2, y2 = corners(face.box, analysis.width_px, analysis.height_px)
        if min(x2 - x1, y2 - y1) >= MIN_FACE_PX:
            faces.append(face)
    if not faces:
        raise e.FaceTooSmall
    return faces[:MAX_FACES]


def render(faces: list[Face], analysis: Analysis) -> dict[str, Any]:
    """`data`. A list whose attribute has no model here is empty."""
    landmarks = _flat(faces, lambda face: _chained(face.landmarks))
    return {
        "pupils": _flat(faces, lambda face: _chained(face.pupils)),
        "gender_list": _each(faces, lambda face: face.gender and int(face.gender.dominant == "male")),
        "expressions": _each(faces, lambda face: face.emotion and int(face.emotion.dominant == "happy")),
        "face_count": len(faces),
        "landmarks": landmarks,
        "landmark_count": LANDMARK_COUNT if landmarks else 0,
        "beauty_list": _flat(faces, lambda face: None if face.beauty is None else [face.beauty]),
        "hat_list": _each(faces, lambda face: face.hat and int(face.hat["hat"] >= 0.5)),
        "face_probability_list": [round(face.confidence, 4) for face in faces],
        "glasses": _each(faces, lambda face: face.glasses and _index(face.glasses, GLASSES)),
        "face_rectangles": [v for face in faces for v in _rectangle(face, analysis)],
        "pose_list": _flat(faces, _pose),
        "age_list": _each(faces, lambda face: None if face.age is None else min(100, max(0, whole(face.age)))),
        "dense_feature_length": DENSE_FEATURE_LENGTH,
        "masks": _each(faces, lambda face: face.mask and _index(face.mask, MASKS)),
        "qualities": {name: _flat(faces, lambda face, i=i: face.quality and [face.quality[i]]) for i, name in enumerate(QUALITIES)},  # type: ignore[misc]
    }


def fail(error: e.GatewayError) -> Response:
    """Any error in this vendor's words."""
    status, code, code_message, message = look_up(ERRORS, error)
    about_faces = isinstance(error, e.NoFace | e.FaceTooSmall)
    text = "Unauthorized" if status == 401 else f"{FACE_CASE if about_faces else code_message} - {message}"
    short = "FILE_CONTENT_NON_COMPLIANCE" if about_faces else code
    body = _public_fields(status, short, text, code, code_message, message)
    return refusal(body, status, error)


def _analyze(data: bytes) -> Analysis:
    settings = services().settings
    rules = replace(rules_of(settings, FORMATS), min_side_px=MIN_SIDE_PX, max_side_px=MAX_SIDE_PX, max_pixels=MAX_PIXELS)
    return services().analyzer.analyze(services().decoders.decode(data, rules, settings.working_side_px), WANTED)


def _public_fields(status: int, short: str, text: str, code: str, code_message: str, message: str = "") -> dict[str, Any]:
    number = str(uuid.uuid4())
    return {
        "request_id": number,
        "log_id": number.upper(),
        "error_code": 0 if status == 200 else status,
        "error_code_str": short,
        "error_msg": text,
        "error_detail": {"status_code": status, "code": code, "code_message": code_message, "message": message},
    }


def _each(faces: list[Face], value: Callable[[Face], int | Distribution | None]) -> list[Any]:
    values = [value(face) for face in faces]
    return [] if any(v is None for v in values) else values


def _flat(faces: list[Face], values: Callable[[Face], Iterable[float] | None]) -> list[float]:
    rows = [values(face) for face in faces]
    return [] if any(row is None for row in rows) else [round(v, 4) for row in rows for v in row or ()]


def _chained(rows: Iterable[Iterable[float]] | None) -> list[float] | None:
    return None if rows is None else [value for row in rows for value in row]


def _index(values: Distribution, order: tuple[str, ...]) -> int:
    return order.index(values.dominant)


def _rectangle(face: Face, analysis: Analysis) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = corners(face.box, analysis.width_px, analysis.height_px)
    return x1, y1, x2 - x1, y2 - y1


def _pose(face: Face) -> list[float] | None:
    if face.pose is None:
        return None
    angles = (face.pose.yaw, face.pose.pitch, face.pose.roll)
    return [min(limit, max(-limit, angle)) for angle, limit in zip(angles, POSE_LIMITS, strict=True)]


VENDOR = Vendor("ailabtools", ("/api/portrait/", "/api/common/"), blueprint, fail, (ANALYZER,))
