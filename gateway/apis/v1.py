"""Our own API, /v1: parse, analyze, render."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flask import Blueprint, Response, current_app, g, request

from gateway import v1_schema as out
from gateway.apis.openapi import describe
from gateway.apis.services import services
from gateway.callers.admission import Credentials
from gateway.deadline import TIMEOUT_HEADER
from gateway.errors import InvalidParameter, MalformedBody, MissingImage, UnsupportedImage
from gateway.faces import Analysis, Distribution, Face
from gateway.inference.analyzer import READERS
from gateway.pictures.decoding import rules_of

blueprint = Blueprint("v1", __name__, url_prefix="/v1")

T = TypeVar("T")
R = TypeVar("R")

API = "vultus"
LIVE_FROM = 0.5
MAX_FACES = 128


@dataclass(frozen=True, slots=True)
class AnalyzeRequest:
    """What a caller of /v1/analyze wants."""

    data: bytes
    attributes: tuple[str, ...]
    max_faces: int


@blueprint.post("/analyze")
@describe(
    summary="Analyse every face in one image",
    query={
        "attributes": "Comma-separated names from /v1/attributes; default: those whose by_default is true.",
        "max_faces": f"1 to {MAX_FACES}; the most confident are kept. Default {MAX_FACES}.",
    },
    image_body=True,
    headers=(TIMEOUT_HEADER,),
    answer=out.AnalysisOut,
)
def analyze() -> Response:
    """POST /v1/analyze."""
    key = services().admission.check(API, Credentials(request.headers.get("X-API-Key")))
    with services().admission.counted(key):
        wanted = _parse(services().analyzer.by_default)
        settings = services().settings
        picture = services().decoders.decode(wanted.data, rules_of(settings), settings.working_side_px)
        analysis = services().analyzer.analyze(picture, wanted.attributes)
        return _render(analysis, wanted.max_faces)


@blueprint.get("/attributes")
@describe(summary="What this deployment offers", answer=out.AttributesOut)
def attributes() -> Response:
    """GET /v1/attributes."""
    models = {model.name: model for model in services().catalogue.attribute_models}
    rows = [
        out.AttributeOut(
            name=o.attribute,
            model=o.model,
            version=models[o.model].version,
            labels=list(o.labels),
            unit=o.unit,
            licence=models[o.model].licence,
            measured=o.measured,
            note=o.note,
            by_default=o.by_default,
        )
        for o in services().catalogue.outputs
    ]
    return _json(out.AttributesOut(attributes=rows))


def _parse(by_default: tuple[str, ...]) -> AnalyzeRequest:
    unknown = set(request.args) - {"attributes", "max_faces"}
    if unknown:
        raise InvalidParameter("The query takes attributes and max_faces only.")
    return AnalyzeRequest(_image_bytes(), _wanted(request.args.get("attributes"), by_default), _max_faces(request.args.get("max_faces")))


def _wanted(text: str | None, by_default: tuple[str, ...]) -> tuple[str, ...]:
    if text is None:
        return by_default
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    if not set(names) <= set(READERS):
        raise InvalidParameter("attributes names something unknown; see /v1/attributes.")
    return names


def _max_faces(text: str | None) -> int:
    if text is None:
        return MAX_FACES
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_FACES):
        raise InvalidParameter(f"max_faces must be a whole number from 1 to {MAX_FACES}.")
    return int(text)


def _image_bytes() -> bytes:
    """The image, from whichever of the three kinds of body this is."""
    kind = request.mimetype
    if kind == "multipart/form-data":
        if "image" not in request.files:
            raise MissingImage("The form needs a file field named image.")
        return bytes(request.files["image"].read())
    if kind == "application/json":
        return _from_json()
    if kind.startswith("image/") or kind in ("application/octet-stream", ""):
        return bytes(request.get_data(cache=False))
    raise UnsupportedImage("Send multipart/form-data, image/* or application/json.")


def _from_json() -> bytes:
    try:
        body = request.get_json(silent=True)
    except RecursionError:
        raise MalformedBody from None
    if not isinstance(body, dict):
        raise MalformedBody("The body is not a JSON object.")
    if len(body) != 1 or not isinstance(body.get("image", body.get("url")), str):
        raise MissingImage("The JSON object needs exactly one text field, named image or url.")
    if "url" in body:
        return services().fetcher.fetch(body["url"])
    head, comma, tail = body["image"].partition(",")
    text = tail if comma and head.startswith("data:") else body["image"]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedBody("image is not valid base64.") from None


def _render(analysis: Analysis, max_faces: int) -> Response:
    started = time.perf_counter()
    faces = [render_face(face) for face in analysis.faces[:max_faces]]
    timings = out.TimingsOut(
        decode=round(analysis.timings.decode_ms, 2),
        inference=round(analysis.timings.inference_ms, 2),
        render=round((time.perf_counter() - started) * 1e3, 2),
    )
    size = out.ImageSize(width=analysis.width_px, height=analysis.height_px)
    return _json(out.AnalysisOut(request_id=g.request_id, image=size, faces=faces, models=analysis.model_versions, timings_ms=timings))


def render_face(face: Face) -> out.FaceOut:
    """A neutral face in /v1's form: probabilities to four places, pixels to one."""
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    box = face.box
    return out.FaceOut(
        box=out.BoxOut(x1=_tenth(box.x1), y1=_tenth(box.y1), x2=_tenth(box.x2), y2=_tenth(box.y2)),
        confidence=_p(face.confidence),
        keypoints=out.Keypoints(**{name: [_tenth(x), _tenth(y)] for name, (x, y) in zip(names, face.keypoints, strict=True)}),
        age=_maybe(face.age, _tenth),
        gender=_maybe(face.gender, _label),
        emotion=_maybe(face.emotion, lambda e: out.Emotion(dominant=e.dominant, probabilities=_rounded(e))),
        race=_maybe(face.race, lambda r: out.Race(dominant=r.dominant, probabilities=_rounded(r))),
        liveness=_maybe(face.liveness, lambda score: out.Liveness(score=_p(score), is_real=score >= LIVE_FROM)),
        glasses=_maybe(face.glasses, _classes),
        mask=_maybe(face.mask, _classes),
        hat=_maybe(face.hat, _label),
        beauty=_maybe(face.beauty, _tenth),
        quality=_maybe(face.quality, lambda q: out.Quality(**dict(zip(out.Quality.model_fields, map(_tenth, q), strict=True)))),
        pose=_maybe(face.pose, lambda p: out.PoseOut(yaw=_tenth(p.yaw), pitch=_tenth(p.pitch), roll=_tenth(p.roll))),
        landmarks=_maybe(face.landmarks, lambda points: [[_tenth(x), _tenth(y)] for x, y in points]),
        pupils=_maybe(face.pupils, _pupils),
    )


def _tenth(value: float) -> float:
    return round(value, 1)


def _p(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 4)


def _rounded(values: Distribution) -> dict[str, float]:
    return {label: _p(p) for label, p in values.as_dict().items()}


def _label(values: Distribution) -> out.Label:
    return out.Label(value=values.dominant, probability=_p(values[values.dominant]))


def _classes(values: Distribution) -> out.Classes:
    return out.Classes(value=values.dominant, probabilities=_rounded(values))


def _pupils(pupils: tuple[tuple[float, float, float], ...]) -> out.Pupils:
    left, right = (out.Pupil(x=_tenth(x), y=_tenth(y), radius=_tenth(radius)) for x, y, radius in pupils)
    return out.Pupils(left=left, right=right)


def _maybe(value: T | None, render: Callable[[T], R]) -> R | None:
    return None if value is None else render(value)


def _json(model: out.Strict) -> Response:
    return current_app.response_class(model.model_dump_json(exclude_none=True), mimetype="application/json")
