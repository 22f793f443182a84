"""Pictures of /v1 that come back as pictures: with their faces hidden, or marked. Format, quality and size stay, metadata go."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from flask import Blueprint, Response, current_app

from gateway import v1_schema as out
from gateway.apis import v1
from gateway.apis.openapi import describe
from gateway.apis.request_body import attribute_names, image_and_options
from gateway.apis.services import services
from gateway.apis.wording import words
from gateway.deadline import TIMEOUT_HEADER, at_work
from gateway.errors import InvalidParameter, named
from gateway.faces import Face
from gateway.inference.analyzer import SmallFaces
from gateway.inference.joining import among
from gateway.pictures import drawing, redaction
from gateway.pictures.decoding import reduced, rules_of
from gateway.pictures.encoding import MEDIA_TYPES, encode
from gateway.pictures.picture import Picture
from gateway.selection import Selection

T = TypeVar("T")

blueprint = Blueprint("v1_pictures", __name__, url_prefix=v1.blueprint.url_prefix)

# How many faces were hidden or marked.
FACES_HEADER = "X-Faces"
PARTS = ("boxes", "labels", "keypoints", "landmarks", "pupils")
BY_DEFAULT = ("boxes", "labels")
# What a label tells, where it was not asked for something else.
LABELLED = ("age", "gender", "emotion", "liveness", "glasses", "mask", "hat")
# The margin grows with each look: what is found once more is a head, and its outline is what gives it away.
MORE_MARGIN = 0.15
# The picture is looked at again until nothing is found: hidden faces may look like faces still, and of a crowd only the first 128 come.
# What is found at the last look is covered. At the first look faces from HIDDEN_FROM_PX on are looked for in tiles.
MOST_LOOKS, HIDDEN_FROM_PX = 6, 32
KINDS = tuple(MEDIA_TYPES.values())


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a caller of /v1/draw wants."""

    shown: frozenset[str]
    attributes: tuple[str, ...]
    selection: Selection


@blueprint.post("/redact")
@describe(
    summary="The picture with every face hidden", image_body=out.RedactJson, headers=(v1.CALL.secret, TIMEOUT_HEADER), media_type=KINDS,
)  # fmt: skip
def redact() -> Response:
    """POST /v1/redact."""
    with services().admission.admitted(v1.API, v1.CALL.credentials()) as key:
        data, options = image_and_options(out.RedactOptions, key.id if key else None)
        with at_work():
            picture = _decoded(data)
            return _answer(picture, hide_faces(picture, options))


@blueprint.post("/draw")
@describe(
    summary="The picture with its faces marked", image_body=out.DrawJson, headers=(v1.CALL.secret, TIMEOUT_HEADER), media_type=KINDS,
)  # fmt: skip
def draw() -> Response:
    """POST /v1/draw."""
    with services().admission.admitted(v1.API, v1.CALL.credentials()) as key:
        data, options = image_and_options(out.DrawOptions, key.id if key else None)
        wanted = _drawn(options)
        with at_work():
            picture = _decoded(data)
            small = v1.small_faces(wanted.selection.min_face_px)
            analysis = services().analyzer.analyze(_seen(picture, small), wanted.attributes, small=small)
            marks = [_marks(face, wanted.shown) for face in wanted.selection.of(analysis.faces)]
            with drawing.AT_ONCE:
                drawing.mark(picture.pixels, marks)
            return _answer(picture, len(marks))


def hide_faces(picture: Picture, options: out.RedactOptions) -> int:
    """Hide every face of the picture, in its own pixels; how many there were. Raises as Analyzer.analyze."""
    chosen = Selection(max_faces=sys.maxsize, min_confidence=options.min_confidence, min_face_px=options.min_face_px)
    small, hidden = v1.small_faces(max(HIDDEN_FROM_PX, options.min_face_px)), list[Face]()
    for look in range(1, MOST_LOOKS + 1):
        faces = chosen.of(services().analyzer.analyze(_seen(picture, small), (), small=small).faces)
        if not faces:
            break
        method = "cover" if look == MOST_LOOKS else options.method
        redaction.hide(picture.pixels, [face.box for face in faces], method, options.margin + MORE_MARGIN * (look - 1))
        hidden += [face for face in faces if not among(face, hidden)] if hidden else faces
        small = None
    return len(hidden)


def _decoded(data: bytes) -> Picture:
    """In full size, with pixels that may be written to."""
    settings = services().settings
    picture = services().decoders.decode(data, rules_of(settings), settings.max_image_side_px)
    return replace(picture, pixels=np.require(picture.pixels, requirements=["C", "W"]))


def _seen(picture: Picture, small: SmallFaces | None) -> Picture:
    """What the models see of it: as /v1/analyze decodes it."""
    return replace(picture, pixels=reduced(picture.pixels, v1.working_side_px(small)))


def _drawn(options: out.DrawOptions) -> Drawn:
    shown = BY_DEFAULT if options.show is None else attribute_names(options.show)
    unknown = [named(name, "something that is no plain word") for name in shown if name not in PARTS]
    if unknown:
        raise InvalidParameter(f"show names something unknown: {', '.join(unknown)}; it takes {', '.join(PARTS)}.")
    asked = v1.wanted(options.attributes) if options.attributes is not None else LABELLED if "labels" in shown else ()
    pointed = tuple(name for name in ("landmarks", "pupils") if name in shown)
    selection = Selection(options.max_faces, options.min_confidence, options.min_face_px, options.order)
    return Drawn(frozenset(shown), tuple(dict.fromkeys((*asked, *pointed))), selection)


def _marks(face: Face, shown: frozenset[str]) -> drawing.Marks:
    return drawing.Marks(
        box=face.box,
        lines=words(v1.render_face(face)) if "labels" in shown else (),
        outlined="boxes" in shown,
        points=face.keypoints if "keypoints" in shown else (),
        landmarks=_shown("landmarks", face.landmarks, shown),
        circles=_shown("pupils", face.pupils, shown),
    )


def _shown(name: str, values: Sequence[T] | None, shown: frozenset[str]) -> Sequence[T]:
    return values if values and name in shown else ()


def _answer(picture: Picture, faces: int) -> Response:
    with drawing.AT_ONCE:
        data = encode(picture.pixels, picture.encoding)
    response = current_app.response_class(data, mimetype=MEDIA_TYPES[picture.encoding.format])
    response.headers[FACES_HEADER] = str(faces)
    response.headers["Cache-Control"] = "no-store"
    return response
