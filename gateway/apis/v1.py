"""Our own API, /v1: parse, analyze, render."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flask import Blueprint, Response, current_app, g, request

from gateway import v1_schema as out
from gateway.apis.openapi import describe
from gateway.apis.request_body import ALL, attribute_names, image_and_options
from gateway.apis.services import services
from gateway.callers.admission import Credentials
from gateway.deadline import TIMEOUT_HEADER
from gateway.errors import InvalidParameter, named
from gateway.faces import Analysis, Distribution, Face
from gateway.inference.analyzer import READERS
from gateway.pictures.decoding import rules_of
from gateway.selection import MOST_FACES, Selection

blueprint = Blueprint("v1", __name__, url_prefix="/v1")

T = TypeVar("T")
R = TypeVar("R")

API = "vultus"
LIVE_FROM = 0.5


@dataclass(frozen=True, slots=True)
class AnalyzeRequest:
    """What a caller of /v1/analyze wants."""

    data: bytes
    attributes: tuple[str, ...]
    selection: Selection


@blueprint.post("/analyze")
@describe(summary="Analyse every face in one image", image_body=out.ImageJson, headers=(TIMEOUT_HEADER,), answer=out.AnalysisOut)
def analyze() -> Response:
    """POST /v1/analyze."""
    key = services().admission.check(API, Credentials(request.headers.get("X-API-Key")))
    with services().admission.counted(key):
        wanted = _parse()
        settings = services().settings
        picture = services().decoders.decode(wanted.data, rules_of(settings), settings.working_side_px)
        analysis = services().analyzer.analyze(picture, wanted.attributes)
        return _json(render_analysis(analysis, wanted.selection, g.request_id))


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


def _parse() -> AnalyzeRequest:
    data, options = image_and_options(out.AnalyzeOptions)
    chosen = Selection(options.max_faces, options.min_confidence, options.min_face_px, options.order)
    return AnalyzeRequest(data, wanted(options.attributes), chosen)


def wanted(asked: str | list[str] | None) -> tuple[str, ...]:
    """The attributes that a caller means. Raises InvalidParameter."""
    if asked is None:
        return services().analyzer.by_default
    names = attribute_names(asked)
    if ALL in names:
        return tuple(output.attribute for output in services().catalogue.outputs)
    unknown = [named(name, "something that is no plain word") for name in names if name not in READERS]
    if unknown:
        raise InvalidParameter(f"attributes names something unknown: {', '.join(dict.fromkeys(unknown))}; see /v1/attributes.")
    return names


def render_analysis(analysis: Analysis, selection: Selection, request_id: str) -> out.AnalysisOut:
    """An analysis in /v1's form."""
    started, found = time.perf_counter(), len(analysis.faces)
    faces = [render_face(face) for face in selection.of(analysis.faces)]
    timings = out.TimingsOut(
        decode=round(analysis.timings.decode_ms, 2),
        inference=round(analysis.timings.inference_ms, 2),
        render=round((time.perf_counter() - started) * 1e3, 2),
    )
    return out.AnalysisOut(
        request_id=request_id,
        image=out.ImageSize(width=analysis.width_px, height=analysis.height_px),
        faces=faces,
        faces_found=found,
        truncated=True if found >= MOST_FACES else None,
        models=analysis.model_versions,
        timings_ms=timings,
    )


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
