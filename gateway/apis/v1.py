"""Our own API, /v1: parse, analyze, render."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flask import Blueprint, Response, current_app, g

from gateway import v1_schema as out
from gateway.apis.call import Call
from gateway.apis.openapi import describe
from gateway.apis.request_body import ALL, attribute_names, image_and_options
from gateway.apis.services import services
from gateway.attributes import ATTRIBUTES, BY_NAME, probability, tenth
from gateway.deadline import TIMEOUT_HEADER, at_work
from gateway.errors import InvalidParameter, named
from gateway.faces import Analysis, Face
from gateway.inference.analyzer import SmallFaces
from gateway.pictures.decoding import rules_of
from gateway.selection import MOST_FACES, Selection

blueprint = Blueprint("v1", __name__, url_prefix="/v1")

API = "vultus"
CALL = Call("/v1/analyze", "image", "X-API-Key")


@dataclass(frozen=True, slots=True)
class AnalyzeRequest:
    """A parsed request of /v1/analyze."""

    data: bytes
    attributes: tuple[str, ...]
    selection: Selection


@blueprint.post("/analyze")
@describe(
    summary="Analyse every face in one image", image_body=out.ImageJson, headers=(CALL.secret, TIMEOUT_HEADER), answer=out.AnalysisOut
)
def analyze() -> Response:
    """POST /v1/analyze."""
    with services().admission.admitted(API, CALL.credentials()) as key:
        wanted = _parse(key.id if key else None)
        small = small_faces(wanted.selection.min_face_px)
        with at_work():
            picture = services().decoders.decode(wanted.data, rules_of(services().settings), working_side_px(small))
            analysis = services().analyzer.analyze(picture, wanted.attributes, small=small)
        return _json(render_analysis(analysis, wanted.selection, g.request_id))


@blueprint.get("/attributes")
@describe(summary="What this deployment offers", answer=out.AttributesOut)
def attributes() -> Response:
    """GET /v1/attributes."""
    models = {model.name: model for model in services().catalogue.attribute_models}
    rows = [
        out.AttributeOut(
            name=o.attribute,
            kind=BY_NAME[o.attribute].kind.name,
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


def _parse(caller: int | None) -> AnalyzeRequest:
    data, options = image_and_options(out.AnalyzeOptions, caller)
    chosen = Selection(options.max_faces, options.min_confidence, options.min_face_px, options.order)
    return AnalyzeRequest(data, wanted(options.attributes), chosen)


def small_faces(min_face_px: int) -> SmallFaces | None:
    """A caller who names the smallest face wants those that the whole picture would not show, too."""
    most = services().settings.max_tiles
    return SmallFaces(min_face_px, most) if min_face_px and most else None


def working_side_px(small: SmallFaces | None) -> int:
    """How large the picture stays for the models, see Settings."""
    settings = services().settings
    return settings.tiled_side_px if small else settings.working_side_px


def wanted(asked: str | list[str] | None) -> tuple[str, ...]:
    """The attributes that a caller means. Raises InvalidParameter."""
    if asked is None:
        return services().analyzer.by_default
    names = attribute_names(asked)
    if ALL in names:
        return tuple(output.attribute for output in services().catalogue.outputs)
    unknown = [named(name, "something that is no plain word") for name in names if name not in BY_NAME]
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
        box=out.BoxOut(x1=tenth(box.x1), y1=tenth(box.y1), x2=tenth(box.x2), y2=tenth(box.y2)),
        confidence=probability(face.confidence),
        keypoints=out.Keypoints(**{name: [tenth(x), tenth(y)] for name, (x, y) in zip(names, face.keypoints, strict=True)}),
        **{row.name: row.kind.render(value) for row in ATTRIBUTES if (value := getattr(face, row.name)) is not None},
    )


def _json(model: out.Strict) -> Response:
    return current_app.response_class(model.model_dump_json(exclude_none=True), mimetype="application/json")
