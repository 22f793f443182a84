"""The vendors' bodies, typed, for the OpenAPI document and the tests that hold real answers against it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
FourInts = Annotated[list[int], Field(min_length=4, max_length=4)]
XY = Annotated[list[int], Field(min_length=2, max_length=2)]
Emotions = dict[Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"], Percent]
Races = dict[Literal["asian", "indian", "black", "white", "middle eastern", "latino hispanic"], Percent]


class Body(BaseModel):
    """Base: no field that is not declared."""

    model_config = ConfigDict(extra="forbid")


class ArsaBbox(Body):
    """Corners as shares of the picture's width and height."""

    x1: Probability
    y1: Probability
    x2: Probability
    y2: Probability


class ArsaLiveness(Body):
    """Which of the scores is there depends on the schema asked for."""

    is_real_face: bool
    antispoof_score: Probability | None = None
    liveness_probability: Probability | None = None


class ArsaFace(Body):
    """One face."""

    age: Percent
    gender: Literal["male", "female"]
    gender_probability: Annotated[float, Field(ge=0.5, le=1)]
    expression: Literal["neutral", "happy", "sad", "surprise", "anger"] | None = None
    bounding_box: FourInts | None = None
    bbox: ArsaBbox | None = None
    passive_liveness: ArsaLiveness


class ArsaAnalytics(Body):
    """Answer of face_analytics in any schema."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                json.loads("""{"status": "success", "faces": [{"age": 31.2, "gender": "male",
        "gender_probability": 0.96, "expression": "neutral",
        "bounding_box": [85, 62, 290, 310],
        "passive_liveness": {"is_real_face": true, "antispoof_score": 0.93}}]}""")
            ]
        },
    )

    status: Literal["success"]
    face_count: int | None = None
    faces: list[ArsaFace]
    latency_ms: float | None = None


class ArsaLivenessFace(Body):
    """One face."""

    bbox: ArsaBbox
    is_real_face: bool
    liveness_confidence: Probability
    liveness_status: Literal["real", "spoof"]


class ArsaLivenessAnswer(Body):
    """Answer of face_liveness."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                json.loads("""{"status": "success", "faces": [{"bbox": {"x1": 0.12, "y1": 0.08, "x2": 0.45, "y2": 0.52},
        "is_real_face": true, "liveness_confidence": 0.97, "liveness_status": "real"}],
        "latency_ms": 189.23}""")
            ]
        },
    )

    status: Literal["success"]
    faces: list[ArsaLivenessFace]
    latency_ms: float


class ArsaError(Body):
    """Any failure."""

    detail: str | dict[str, Any] | list[dict[str, Any]]


class MachineSenseAnswer(Body):
    """Success and failure alike."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [json.loads("""{"result": "Ok", "code": 0, "message": "", "data": {"age": 31}}""")]}
    )

    result: Literal["Ok", "Err"]
    code: int
    message: str
    data: dict[str, int | str]


class AilabtoolsDetail(Body):
    """What went wrong, if anything."""

    status_code: int
    code: str
    code_message: str
    message: str


class AilabtoolsQualities(Body):
    """One number a face."""

    score_list: list[Percent]
    blur_list: list[Percent]
    fnf_list: list[Percent]
    glass_list: list[Percent]
    illu_list: list[Percent]
    mask_list: list[Percent]
    noise_list: list[Percent]
    pose_list: list[Percent]


class AilabtoolsData(Body):
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


class AilabtoolsError(Body):
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


class ScaleflexFace(Body):
    """One face."""

    box: FourInts
    landmarks: dict[str, XY] | None = None
    emotions: Emotions
    dominant_emotion: str
    races: Races
    dominant_race: str
    age: Annotated[int, Field(ge=0)]
    gender: Literal["Male", "Female"]


class ScaleflexEntry(Body):
    """One of several pictures."""

    request_uuid: str
    result: str | None = None
    faces: dict[str, ScaleflexFace] | None = None
    status: Literal["error"] | None = None
    msg: str | None = None
    hint: str | None = None
    code: str | None = None
    file_downloaded: str


class ScaleflexAnswer(Body):
    """Flat for one picture; `result` is a list for several."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                json.loads("""{"status": "success", "version": "2.9.3", "request_uuid": "4f74f084-39a3-48f7-829a-336b55e8fd13",
        "result": "https://vultus.example/deliver/token/4f74f084-39a3-48f7-829a-336b55e8fd13.png", "faces": {},
        "file_downloaded": "friends.jpg"}""")
            ]
        },
    )

    status: Literal["success"]
    version: str
    request_uuid: str | None = None
    result: str | list[ScaleflexEntry]
    faces: dict[str, ScaleflexFace] | None = None
    file_downloaded: str | None = None


class ScaleflexError(Body):
    """Any failure."""

    status: Literal["error"]
    version: str
    request_uuid: str
    msg: str
    hint: str
    code: str
    message: str
    result: dict[str, str]


class CoqniticsBox(Body):
    """Top left corner and size."""

    x: int
    y: int
    w: int
    h: int


class CoqniticsGender(Body):
    """`confidence` in percent."""

    value: Literal["Male", "Female"]
    confidence: Annotated[float, Field(ge=50, le=100)]


class CoqniticsLandmark(Body):
    """One of five points."""

    type: Literal["eyeLeft", "eyeRight", "nose", "lipLeft", "lipRight"]
    x: int
    y: int


class CoqniticsFace(Body):
    """One face."""

    faceConfidence: Probability
    boundingBox: CoqniticsBox
    age: Annotated[int, Field(ge=0)]
    gender: CoqniticsGender
    emotions: dict[str, Probability]
    landmarks: Annotated[list[CoqniticsLandmark], Field(min_length=5, max_length=5)]


class CoqniticsAnswer(Body):
    """Answer of analyze."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                json.loads("""{"faces": [{"faceConfidence": 0.999996542930603,
        "boundingBox": {"x": 296, "y": 60, "w": 89, "h": 115},
        "age": 24, "gender": {"value": "Female", "confidence": 100},
        "emotions": {"angry": 0.0, "disgust": 0.0,
        "fear": 0.0, "happy": 0.99, "sad": 0.0, "surprise": 0.01, "neutral": 0.0},
        "landmarks": [{"type": "eyeLeft", "x": 323, "y": 107},
        {"type": "eyeRight", "x": 364, "y": 108},
        {"type": "nose", "x": 341, "y": 131}, {"type": "lipLeft", "x": 320, "y": 145},
        {"type": "lipRight", "x": 361, "y": 147}]}]}""")
            ]
        },
    )

    faces: list[CoqniticsFace]


class CoqniticsError(Body):
    """Any failure."""

    error: dict[str, str]
