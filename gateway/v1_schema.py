"""The JSON of /v1, typed. The OpenAPI document is made from these models and every answer is rendered through them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
XY = Annotated[list[float], Field(min_length=2, max_length=2, description="x, y in pixels")]


PLAIN_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?|\.[0-9]{1,9}")


def _plain(value: object) -> object:
    """Numbers that come as text: digits and a point only. Raises ValueError, also for truth values."""
    if isinstance(value, bool) or (isinstance(value, str) and not PLAIN_NUMBER.fullmatch(value)):
        raise ValueError
    return value


Plain = BeforeValidator(_plain)


class Strict(BaseModel):
    """Base: no field that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageSize(Strict):
    """The image as a person sees it: after its EXIF orientation."""

    width: int = Field(ge=1)
    height: int = Field(ge=1)


class BoxOut(Strict):
    """Corners in pixels of the upright image."""

    x1: float
    y1: float
    x2: float
    y2: float


class Keypoints(Strict):
    """Pixels of the upright image. Left and right are those of the image, not of the person."""

    left_eye: XY
    right_eye: XY
    nose: XY
    mouth_left: XY
    mouth_right: XY


class Label(Strict):
    """A two-way decision and how probable it is."""

    value: str
    probability: Probability


class Emotion(Strict):
    """The most probable expression and all of them."""

    dominant: str
    probabilities: dict[str, Probability]


class Race(Strict):
    """The most probable perceived group and all of them. Read the model card before use."""

    dominant: str
    probabilities: dict[str, Probability]


class Liveness(Strict):
    """1: a living face before the camera; 0: a picture of one."""

    score: Probability
    is_real: bool


class Classes(Strict):
    """The most probable class and all of them."""

    value: str
    probabilities: dict[str, Probability]


class Quality(Strict):
    """Each 0 (bad) to 100 (good)."""

    overall: Percent
    blur: Percent
    face: Percent
    upper_occlusion: Percent
    illumination: Percent
    lower_occlusion: Percent
    noise: Percent
    pose: Percent


class PoseOut(Strict):
    """Degrees. yaw > 0: turned to the image's right; pitch > 0: nose down; roll > 0: clockwise as seen in the picture."""

    yaw: float
    pitch: float
    roll: float


class Pupil(Strict):
    """Pixels of the upright image."""

    x: float
    y: float
    radius: float


class Pupils(Strict):
    """Left and right of the image."""

    left: Pupil
    right: Pupil


class Range(Strict):
    """Years between which the age lies with a probability of about .8, by what was measured."""

    low: float
    high: float


class FaceOut(Strict):
    """One face. An attribute that was not asked for, or has no model in this deployment, is absent."""

    box: BoxOut
    confidence: Probability
    keypoints: Keypoints
    age: float | None = Field(None, description="years")
    gender: Label | None = None
    emotion: Emotion | None = None
    race: Race | None = None
    liveness: Liveness | None = None
    glasses: Classes | None = None
    mask: Classes | None = None
    hat: Label | None = None
    beauty: Percent | None = None
    quality: Quality | None = None
    pose: PoseOut | None = None
    landmarks: Annotated[list[XY], Field(min_length=105, max_length=105)] | None = None
    pupils: Pupils | None = None
    age_range: Range | None = None


class TimingsOut(Strict):
    """Milliseconds."""

    decode: float
    inference: float
    render: float


class AnalysisOut(Strict):
    """Answer of POST /v1/analyze. Faces in the order that was asked for; an image without a face has an empty list."""

    request_id: str
    image: ImageSize
    faces: list[FaceOut]
    faces_found: int | None = Field(None, description="how many faces were found, those that were left out included")
    truncated: bool | None = Field(
        None, description="true when as many were found as the models answer (128): there may be more; else absent"
    )
    models: dict[str, str] = Field(description="version by name of the models that took part")
    timings_ms: TimingsOut


class AttributeOut(Strict):
    """One attribute that this deployment offers."""

    name: str
    kind: str = Field("", description="shape of its answer: number, two_way, classes, liveness, percentages, angles, points or circles")
    model: str
    version: str
    labels: list[str] = Field(description="empty for a number")
    unit: str
    licence: str
    measured: str = Field(description="accuracy on pictures that the model never saw")
    note: str = Field(description="limits worth knowing before use")
    by_default: bool = Field(description="whether it is answered when the caller names no attributes")


class AttributesOut(Strict):
    """Answer of GET /v1/attributes."""

    attributes: list[AttributeOut]


class AnalyzeOptions(Strict):
    """Options of an analysis: in the query, as fields of a form, or beside the image in JSON."""

    attributes: str | list[str] | None = Field(
        None,
        description="Comma-separated names from /v1/attributes, or all; default: those whose by_default is true.",
        examples=["age,emotion"],
    )
    max_faces: Annotated[int, Plain] = Field(
        128, ge=1, le=128, description="Largest number of faces: the first ones in the order asked for.", examples=[1]
    )
    min_confidence: Annotated[float, Plain] = Field(
        0, ge=0, le=1, description="Only faces of at least this confidence. The detector reports from 0.5.", examples=[0.8]
    )
    min_face_px: Annotated[int, Plain] = Field(
        0,
        ge=0,
        le=16_384,
        description="Only faces whose box is at least so wide and high, in pixels of the upright image. "
        "Faces that are so small are looked for in tiles of a large picture, each of which costs as much as a picture.",
        examples=[40],
    )
    order: Literal["confidence", "size"] = Field("confidence", description="Which faces come first: the most confident or the largest.")


class Sent(Strict):
    """An image in JSON, as image or as url."""

    image: str | None = Field(None, description="base64, or a data URL", min_length=1)
    url: str | None = Field(None, description="where to fetch it, if this deployment does that", min_length=1)


class ImageJson(AnalyzeOptions, Sent):
    """An image in JSON, as image or as url, and what is asked for."""


class DrawOptions(AnalyzeOptions):
    """What may be asked for with a picture that is to come back with its faces marked."""

    show: str | list[str] | None = Field(
        None,
        description="Comma-separated names of what is drawn: boxes, labels, keypoints, landmarks, pupils. Default: boxes and labels.",
    )


class DrawJson(DrawOptions, Sent):
    """An image in JSON, as image or as url, and what is drawn on it."""


class RedactOptions(Strict):
    """What may be asked for with a picture whose faces are to be hidden. The defaults hide as many faces as can be found."""

    method: Literal["blur", "pixelate", "cover"] = Field(
        "blur", description="blur and pixelate keep a few mean colours of each face, cover keeps nothing."
    )
    margin: Annotated[float, Plain] = Field(
        0.2, ge=0, le=1, description="By how much of its width and height a face's box grows on every side before it is hidden."
    )
    min_confidence: Annotated[float, Plain] = Field(
        0, ge=0, le=1, description="Only faces of at least this confidence. The detector reports from 0.5, and 0 hides all of those."
    )
    min_face_px: Annotated[int, Plain] = Field(
        0, ge=0, le=16_384, description="Only faces whose box is at least so wide and high, in pixels of the upright image."
    )


class RedactJson(RedactOptions, Sent):
    """An image in JSON, as image or as url, and how its faces are hidden."""


class Problem(Strict):
    """RFC 9457."""

    type: str
    title: str
    status: int
    code: str = Field(description="stable, machine-readable")
    request_id: str
    detail: str | None = None


class Health(Strict):
    """Answer of /healthz and /readyz."""

    status: str
    detail: str | None = None
