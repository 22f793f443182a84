"""CompreFace's detection service: its REST API, of which recognition and verification are not offered."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

from flask import Blueprint, Response, request
from pydantic import Field, ValidationError

from gateway import errors as e
from gateway.apis.call import Call
from gateway.apis.openapi import describe
from gateway.apis.rounding import corners, whole
from gateway.apis.services import services
from gateway.apis.vendor import Vendor, analyze, example, file_part, from_base64, json_answer, json_object, look_up, preflight, refusal
from gateway.faces import AGE_IN_RANGE, Analysis, Distribution, Face
from gateway.selection import MOST_FACES, Selection
from gateway.v1_schema import Probability, Strict

FORMATS = frozenset({"jpeg", "png", "bmp", "gif", "tiff", "webp"})
# As CompreFace 1.2 answers; its documentation has other words for the last two.
MASKS = {"none": "without_mask", "worn": "with_mask", "worn wrongly": "mask_weared_incorrect"}
# The attribute that a plugin needs. `landmarks` are the detector's own.
ATTRIBUTES = {"age": "age_range", "gender": "gender", "pose": "pose", "mask": "mask"}
# Plugins of CompreFace that are not ignored as unknown ones are: a program that asks for them cannot do without.
NOT_OFFERED = {
    "calculator": "The face plugin calculator is not available: no face recognition is installed, so there are no embeddings",
    "landmarks2d106": "The face plugin landmarks2d106 is not available: the 105 landmarks of Vultus are other points, see /v1/analyze",
}
MUST_BE = {
    "limit": "Limit should be equal or greater than 0",
    "det_prob_threshold": "det_prob_threshold should be between 0.0 and 1.0",
    "face_plugins": "face_plugins should be names between commas",
    "status": "status should be true or false",
}
SERVICES = {"/api/v1/recognition/": "Recognition", "/api/v1/verification/": "Verification"}
NOT_BASE64 = "Provided value is not Base64"

XY = Annotated[list[int], Field(min_length=2, max_length=2)]


class CompreFaceQuery(Strict):
    """What is asked for, in the query."""

    limit: int = Field(0, ge=0, description="The most faces, the largest first. 0: all.")
    det_prob_threshold: float = Field(0.0, ge=0, le=1, description="Least confidence of a face.", examples=[0.8])
    face_plugins: str = Field("", description="Names between commas: age, gender, landmarks, mask, pose.", examples=["age,gender"])
    status: bool = Field(False, description="With execution_time and plugins_versions.")

    @property
    def plugins(self) -> frozenset[str]:
        """Names without spaces. Raises InvalidParameter for those of NOT_OFFERED."""
        names = frozenset(name.strip() for name in self.face_plugins.split(","))
        refused = next((why for name, why in NOT_OFFERED.items() if name in names), None)
        if refused:
            raise e.InvalidParameter(refused)
        return names


class CompreFaceAge(Strict):
    """Years. `probability`: the share of ages that such ranges are made to hold."""

    probability: Probability
    high: int
    low: Annotated[int, Field(ge=0)]


class CompreFaceGender(Strict):
    """The more probable one."""

    probability: Probability
    value: Literal["male", "female"]


class CompreFacePose(Strict):
    """Degrees. Positive: nose up, head leaning counterclockwise as seen, turned to the image's left."""

    pitch: float
    roll: float
    yaw: float


class CompreFaceMask(Strict):
    """The most probable of three."""

    probability: Probability
    value: Literal["without_mask", "with_mask", "mask_weared_incorrect"]


class CompreFaceBox(Strict):
    """Corners in pixels."""

    probability: Probability
    x_max: int
    y_max: int
    x_min: int
    y_min: int


class CompreFaceTime(Strict):
    """Milliseconds."""

    detector: Annotated[float, Field(ge=0)]


class CompreFaceFace(Strict):
    """One face; a plugin's field is there when the plugin is asked for."""

    age: CompreFaceAge | None = None
    gender: CompreFaceGender | None = None
    pose: CompreFacePose | None = None
    box: CompreFaceBox
    landmarks: Annotated[list[XY], Field(min_length=5, max_length=5)] | None = None
    mask: CompreFaceMask | None = None
    execution_time: CompreFaceTime | None = None


class CompreFaceAnswer(Strict):
    """Largest face first."""

    model_config = example(
        """{"result": [{"age": {"probability": 0.8, "high": 32, "low": 25}, "gender": {"probability": 0.99, "value": "female"},
        "box": {"probability": 0.998, "x_max": 376, "y_max": 479, "x_min": 68, "y_min": 77},
        "mask": {"probability": 0.97, "value": "without_mask"}}]}"""
    )

    result: Annotated[list[CompreFaceFace], Field(min_length=1)]
    plugins_versions: dict[str, str] | None = None


class CompreFaceError(Strict):
    """Any failure."""

    message: str
    code: int


# HTTP status, code, message. CompreFace has no quotas, rates or suspended keys; what it calls too large is an undefined error (0).
ERRORS: dict[type[e.GatewayError], tuple[int, int, str]] = {
    e.KeyMissing: (400, 20, "Missing header: x-api-key"),
    e.KeyInvalid: (404, 10, "Detection service with this API Key not found"),
    e.AccountSuspended: (403, 1, "This API Key is suspended"),
    e.QuotaExceeded: (429, 0, "The monthly quota of this API Key is used up"),
    e.RateLimited: (429, 0, "Too many requests, please try again later"),
    e.MissingImage: (400, 34, "Required part file is missing"),
    e.ImageWithoutName: (400, 34, "Required part file is missing: the part of this name has no file name"),
    e.EmptyImage: (400, 5, "Field file cannot be empty"),
    e.MalformedBody: (400, 0, "The request body cannot be read"),
    e.InvalidParameter: (400, 26, "A parameter has a value that is not allowed"),
    e.NoFace: (400, 28, "No face is found in the given image"),
    e.UnknownPath: (404, 0, "Not found"),
    e.MethodNotAllowed: (404, 0, "Request method is not supported"),
    e.UploadTooSlow: (408, 0, "The request took too long to arrive"),
    e.BodyTooLarge: (413, 0, "The file is too large"),
    e.ImageTooLarge: (413, 0, "The image has too many pixels"),
    e.UpstreamError: (503, 41, "The face service cannot answer now, please try again later"),
    e.RequestError: (400, 21, "The file is not a readable image"),
    e.GatewayError: (500, 0, "Something went wrong, please try again"),
}
# Errors whose own text says more than the table.
TELLING = (e.InvalidParameter, e.UnrecognisedImage, e.UnsupportedImage)

DETECT = Call("/api/v1/detection/detect", "file", "x-api-key")
BASE64 = Call(DETECT.path, "file", "x-api-key", json=True)

blueprint = Blueprint("compreface", __name__)


@blueprint.post(DETECT.path, provide_automatic_options=False)
@describe(
    summary="CompreFace: face detection with plugins",
    call=DETECT,
    other=BASE64,
    query=CompreFaceQuery,
    answer=CompreFaceAnswer,
    error=CompreFaceError,
)
def detect() -> Response:
    """Boxes of all faces and what the plugins say; the picture is a file of a form, or base64 in JSON."""
    call = BASE64 if request.mimetype == "application/json" else DETECT
    with VENDOR.admitted(call):
        query = _query()
        wanted = [attribute for plugin, attribute in ATTRIBUTES.items() if plugin in query.plugins]
        analysis = analyze(_decoded(json_object().get(call.picture)) if call.json else file_part(call.picture), FORMATS, wanted)
        return json_answer(render(analysis, query, _versions(query.plugins) if query.status else None))


@blueprint.route(DETECT.path, methods=["OPTIONS"])
def asked_before() -> Response:
    """Browsers ask before they send a header of their own."""
    return preflight("Content-Type, x-api-key")


def render(analysis: Analysis, query: CompreFaceQuery, versions: dict[str, str] | None = None) -> dict[str, Any]:
    """The body of `detect`; with `versions`, times too. Raises NoFace, also when no face is as confident as asked for."""
    faces = Selection(query.limit or MOST_FACES, query.det_prob_threshold, order="size").of(analysis.faces)
    if not faces:
        raise e.NoFace
    fields = {name: field for name, field in FIELDS.items() if name == "box" or name in query.plugins}
    result = [{name: field(face, analysis) for name, field in fields.items()} for face in faces]
    if versions is None:
        return {"result": result}
    # One inference answers everything, so there is one time; as with CompreFace, each face has its share of it.
    time = {"execution_time": {"detector": round(analysis.timings.inference_ms / len(analysis.faces), 1)}}
    return {"result": [face | time for face in result], "plugins_versions": versions}


def fail(error: e.GatewayError) -> Response:
    """Any error in this vendor's words."""
    status, code, message = look_up(ERRORS, error)
    absent = next((name for prefix, name in SERVICES.items() if request.path.startswith(prefix)), None)
    if absent and isinstance(error, e.UnknownPath | e.MethodNotAllowed):
        status, code, message = 404, 10, f"{absent} service is not installed: Vultus describes faces, it recognises nobody"
    elif isinstance(error, TELLING):
        message = error.detail or message
    return refusal({"message": message, "code": code}, status, error)


def _query() -> CompreFaceQuery:
    """Empty values are as none, unknown names are ignored, as with the vendor. Raises InvalidParameter."""
    given = {name: value for name in CompreFaceQuery.model_fields if (value := request.args.get(name, "").strip())}
    try:
        return CompreFaceQuery.model_validate(given)
    except ValidationError as problem:
        name = str(problem.errors()[0]["loc"][0])
    raise e.InvalidParameter(MUST_BE[name])


def _decoded(value: object) -> bytes:
    """Raises EmptyImage, UnrecognisedImage."""
    if not isinstance(value, str) or not value:
        raise e.EmptyImage
    try:
        return from_base64(value)
    except ValueError:
        raise e.UnrecognisedImage(NOT_BASE64) from None


def _versions(plugins: frozenset[str]) -> dict[str, str]:
    """Model and version of the detector and of each plugin that has a model of its own."""
    catalogue = services().catalogue
    models = {output.attribute: output.model for output in catalogue.outputs}
    used = {plugin: models[attribute] for plugin, attribute in ATTRIBUTES.items() if plugin in plugins and attribute in models}
    return {plugin: f"{model}@{catalogue.versions[model]}" for plugin, model in (used | {"detector": catalogue.detector.name}).items()}


def _age(face: Face, analysis: Analysis) -> dict[str, Any]:
    """Whole years that hold the range."""
    if face.age_range is None:
        raise e.ModelContractError
    low, high = face.age_range
    return {"probability": AGE_IN_RANGE, "high": math.ceil(high), "low": max(0, math.floor(low))}


def _gender(face: Face, analysis: Analysis) -> dict[str, Any]:
    said, probability = _most_probable(face.gender)
    return {"probability": probability, "value": said}


def _pose(face: Face, analysis: Analysis) -> dict[str, Any]:
    if face.pose is None:
        raise e.ModelContractError
    return {"pitch": 0.0 - face.pose.pitch, "roll": 0.0 - face.pose.roll, "yaw": 0.0 - face.pose.yaw}


def _box(face: Face, analysis: Analysis) -> dict[str, Any]:
    x1, y1, x2, y2 = corners(face.box, analysis.width_px, analysis.height_px)
    return {"probability": face.confidence, "x_max": x2, "y_max": y2, "x_min": x1, "y_min": y1}


def _landmarks(face: Face, analysis: Analysis) -> list[list[int]]:
    return [[whole(x), whole(y)] for x, y in face.keypoints]


def _mask(face: Face, analysis: Analysis) -> dict[str, Any]:
    said, probability = _most_probable(face.mask)
    return {"probability": probability, "value": MASKS[said]}


def _most_probable(values: Distribution | None) -> tuple[str, float]:
    if values is None:
        raise e.ModelContractError
    return values.dominant, values[values.dominant]


# In the order of the answer; each but the box is a plugin.
FIELDS: dict[str, Callable[[Face, Analysis], Any]] = {
    "age": _age,
    "gender": _gender,
    "pose": _pose,
    "box": _box,
    "landmarks": _landmarks,
    "mask": _mask,
}

PREFIXES = ("/api/v1/detection/", *SERVICES)
VENDOR = Vendor("compreface", "CompreFace", PREFIXES, blueprint, fail, (DETECT, BASE64), cors=True)
