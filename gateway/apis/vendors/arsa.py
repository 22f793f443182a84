"""ARSA Face API (vendor-apis.md, chapter 2)."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from flask import Blueprint, Response, request
from pydantic import Field

from gateway import errors as e
from gateway.apis.call import Call
from gateway.apis.openapi import describe
from gateway.apis.rounding import clipped, corners
from gateway.apis.vendor import FourInts, Vendor, analyze, example, file_part, json_answer, look_up, refusal
from gateway.faces import LIVE_FROM, Analysis, Distribution, Face
from gateway.v1_schema import Percent, Probability, Strict

FORMATS = frozenset({"jpeg", "png", "bmp", "webp"})
# The five expressions of this API, by ours, in the order in which ties are decided.
EXPRESSIONS = {"neutral": "neutral", "happy": "happy", "sad": "sad", "surprise": "surprise", "angry": "anger"}
FIELD_MISSING = [{"loc": ["body", "face_image"], "msg": "field required", "type": "value_error.missing"}]
NAME_MISSING = [{"loc": ["body", "face_image"], "msg": "field required: the part has no file name", "type": "value_error.missing"}]


class ArsaQuery(Strict):
    """Which of three bodies `face_analytics` answers with."""

    shape: Literal["default", "docs", "superset"] = Field("default", alias="schema", description="Anything else is the default.")


class ArsaBbox(Strict):
    """Corners as shares of the picture's width and height."""

    x1: Probability
    y1: Probability
    x2: Probability
    y2: Probability


class ArsaLiveness(Strict):
    """Which of the scores is there depends on the schema asked for."""

    is_real_face: bool
    antispoof_score: Probability | None = None
    liveness_probability: Probability | None = None


class ArsaFace(Strict):
    """One face."""

    age: Percent
    gender: Literal["male", "female"]
    gender_probability: Annotated[float, Field(ge=0.5, le=1)]
    expression: Literal["neutral", "happy", "sad", "surprise", "anger"] | None = None
    bounding_box: FourInts | None = None
    bbox: ArsaBbox | None = None
    passive_liveness: ArsaLiveness


class ArsaAnalytics(Strict):
    """Answer of face_analytics in any schema."""

    model_config = example(
        """{"status": "success", "faces": [{"age": 31.2, "gender": "male",
        "gender_probability": 0.96, "expression": "neutral",
        "bounding_box": [85, 62, 290, 310],
        "passive_liveness": {"is_real_face": true, "antispoof_score": 0.93}}]}"""
    )

    status: Literal["success"]
    face_count: int | None = None
    faces: list[ArsaFace]
    latency_ms: float | None = None


class ArsaLivenessFace(Strict):
    """One face."""

    bbox: ArsaBbox
    is_real_face: bool
    liveness_confidence: Probability
    liveness_status: Literal["real", "spoof"]


class ArsaLivenessAnswer(Strict):
    """Answer of face_liveness."""

    model_config = example(
        """{"status": "success", "faces": [{"bbox": {"x1": 0.12, "y1": 0.08, "x2": 0.45, "y2": 0.52},
        "is_real_face": true, "liveness_confidence": 0.97, "liveness_status": "real"}],
        "latency_ms": 189.23}"""
    )

    status: Literal["success"]
    faces: list[ArsaLivenessFace]
    latency_ms: float


class ArsaError(Strict):
    """Any failure."""

    detail: str | dict[str, Any] | list[dict[str, Any]]


# HTTP status and `detail` by error; a quota's own numbers are filled in.
ERRORS: dict[type[e.GatewayError], tuple[int, Any]] = {
    e.KeyMissing: (401, "Invalid or inactive API key"),
    e.KeyInvalid: (401, "Invalid or inactive API key"),
    e.AccountSuspended: (403, "Account suspended"),
    e.QuotaExceeded: (429, {"error": "quota_exceeded", "message": "Monthly API quota reached"}),
    e.RateLimited: (429, {"error": "rate_limited", "message": "Rate limit exceeded, retry later"}),
    e.MissingImage: (422, FIELD_MISSING),
    e.ImageWithoutName: (422, NAME_MISSING),
    e.BodyTooLarge: (413, "File too large"),
    e.ImageTooLarge: (413, "File too large"),
    e.UnknownPath: (404, "Not Found"),
    e.MethodNotAllowed: (405, "Method Not Allowed"),
    e.UpstreamError: (503, "Service unavailable"),
    e.RequestError: (422, "Could not decode image"),
    e.GatewayError: (500, "Internal Server Error"),
}

ANALYTICS, LIVENESS = (Call(f"/api/v1/{name}", "face_image", "x-key-secret") for name in ("face_analytics", "face_liveness"))

blueprint = Blueprint("arsa", __name__)


@blueprint.post(ANALYTICS.path)
@describe(
    summary="ARSA: age, gender, expression, box, liveness",
    call=ANALYTICS,
    query=ArsaQuery,
    answer=ArsaAnalytics,
    error=ArsaError,
)
def face_analytics() -> Response:
    """Age, gender, expression, box and liveness of every face; `schema` selects one of three bodies."""
    started = time.perf_counter()
    wanted = ("age", "gender", "liveness") if _schema() == "docs" else ("age", "gender", "emotion", "liveness")
    with VENDOR.admitted(ANALYTICS):
        analysis = analyze(file_part(ANALYTICS.picture), FORMATS, wanted)
        return json_answer(render_analytics(analysis, _schema(), _latency_ms(started)))


@blueprint.post(LIVENESS.path)
@describe(summary="ARSA: passive liveness", call=LIVENESS, answer=ArsaLivenessAnswer, error=ArsaError)
def face_liveness() -> Response:
    """Liveness of every face."""
    started = time.perf_counter()
    with VENDOR.admitted(LIVENESS):
        analysis = analyze(file_part(LIVENESS.picture), FORMATS, ("liveness",))
        return json_answer(render_liveness(analysis, _latency_ms(started)))


def render_analytics(analysis: Analysis, schema: str, latency_ms: float) -> dict[str, Any]:
    """The body of `face_analytics` in one of its schemas."""
    if schema == "docs":
        faces = [_docs_face(face, analysis) for face in analysis.faces]
        return {"status": "success", "face_count": len(faces), "faces": faces, "latency_ms": latency_ms}
    body: dict[str, Any] = {"status": "success", "faces": [_face(face, analysis, schema == "superset") for face in analysis.faces]}
    if schema == "superset":
        body |= {"face_count": len(analysis.faces), "latency_ms": latency_ms}
    return body


def render_liveness(analysis: Analysis, latency_ms: float) -> dict[str, Any]:
    """The body of `face_liveness`."""
    faces = [
        {
            "bbox": _bbox(face, analysis),
            "is_real_face": _live(face) >= LIVE_FROM,
            "liveness_confidence": round(_live(face), 2),
            "liveness_status": "real" if _live(face) >= LIVE_FROM else "spoof",
        }
        for face in analysis.faces
    ]
    return {"status": "success", "faces": faces, "latency_ms": latency_ms}


def fail(error: e.GatewayError) -> Response:
    """Any error in this vendor's words."""
    status, detail = look_up(ERRORS, error)
    if isinstance(error, e.QuotaExceeded):
        detail = {**detail, "used": error.used, "limit": error.limit}
    return refusal({"detail": detail}, status, error)


def _face(face: Face, analysis: Analysis, superset: bool) -> dict[str, Any]:
    liveness: dict[str, Any] = {"is_real_face": _live(face) >= LIVE_FROM, "antispoof_score": round(_live(face), 2)}
    if superset:
        liveness["liveness_probability"] = round(_live(face), 2)
    box = {"bounding_box": list(corners(face.box, analysis.width_px, analysis.height_px))}
    return {
        **_person(face),
        "expression": expression(_present(face.emotion)),
        **box,
        **({"bbox": _bbox(face, analysis)} if superset else {}),
        "passive_liveness": liveness,
    }


def _docs_face(face: Face, analysis: Analysis) -> dict[str, Any]:
    liveness = {"is_real_face": _live(face) >= LIVE_FROM, "liveness_probability": round(_live(face), 2)}
    return {**_person(face), "bbox": _bbox(face, analysis), "passive_liveness": liveness}


def _person(face: Face) -> dict[str, Any]:
    gender = _present(face.gender)
    age = round(min(max(face.age or 0.0, 0.0), 100.0), 1)
    return {"age": age, "gender": gender.dominant, "gender_probability": round(gender[gender.dominant], 2)}


def expression(emotion: Distribution) -> str:
    """The most probable of the five that this API knows."""
    return EXPRESSIONS[max(EXPRESSIONS, key=lambda label: emotion[label])]


def _bbox(face: Face, analysis: Analysis) -> dict[str, float]:
    box = clipped(face.box, analysis.width_px, analysis.height_px)
    return {
        "x1": round(box.x1 / analysis.width_px, 5),
        "y1": round(box.y1 / analysis.height_px, 5),
        "x2": round(box.x2 / analysis.width_px, 5),
        "y2": round(box.y2 / analysis.height_px, 5),
    }


def _live(face: Face) -> float:
    return face.liveness or 0.0


def _present(values: Distribution | None) -> Distribution:
    if values is None:
        raise e.ModelContractError
    return values


def _schema() -> str:
    wanted = request.args.get("schema", "default")
    return wanted if wanted in ("docs", "superset") else "default"


def _latency_ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1e3, 2)


VENDOR = Vendor("arsa", ("/api/v1/",), blueprint, fail, (ANALYTICS, LIVENESS))
