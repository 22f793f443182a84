"""Answers as rows: the columns of `vultus analyze --csv`, of the page's CSV and of DataFrames."""

from __future__ import annotations

from gateway.v1_schema import AnalysisOut, FaceOut

# Stable: new ones come at the end, before `error`. Documented in docs/pages/client.md.
COLUMNS = (
    "picture", "width", "height", "faces", "face", "x1", "y1", "x2", "y2", "confidence", "age", "gender", "gender_probability",
    "emotion", "emotion_probability", "race", "race_probability", "liveness", "is_real", "glasses", "glasses_probability",
    "mask", "mask_probability", "hat", "hat_probability", "beauty", "quality", "yaw", "pitch", "roll", "error",
)  # fmt: skip


def rows(name: str, outcome: AnalysisOut | Exception) -> list[dict[str, object]]:
    """One row a face of the picture called `name`; one row when it has no face, or failed. What is not known is absent."""
    if isinstance(outcome, Exception):
        return [{"picture": name, "error": getattr(outcome, "code", None) or str(outcome)}]
    picture = {"picture": name, "width": outcome.image.width, "height": outcome.image.height, "faces": len(outcome.faces)}
    return [{**picture, "face": index, **cells(face)} for index, face in enumerate(outcome.faces)] or [picture]


def cells(face: FaceOut) -> dict[str, object]:
    """The cells of COLUMNS about one face; an attribute that is not known has none."""
    box = face.box
    row: dict[str, object] = {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2, "confidence": face.confidence}
    row |= {"age": face.age, "beauty": face.beauty, "quality": face.quality and face.quality.overall}
    for name, label in (("gender", face.gender), ("hat", face.hat)):
        row |= {name: label.value, f"{name}_probability": label.probability} if label else {}
    for name, guess in (("emotion", face.emotion), ("race", face.race)):
        row |= {name: guess.dominant, f"{name}_probability": guess.probabilities[guess.dominant]} if guess else {}
    for name, kind in (("glasses", face.glasses), ("mask", face.mask)):
        row |= {name: kind.value, f"{name}_probability": kind.probabilities[kind.value]} if kind else {}
    row |= {"liveness": face.liveness.score, "is_real": str(face.liveness.is_real).lower()} if face.liveness else {}
    return row | ({"yaw": face.pose.yaw, "pitch": face.pose.pitch, "roll": face.pose.roll} if face.pose else {})
