"""A face in a few words."""

from __future__ import annotations

from gateway.v1_schema import FaceOut


def words(face: FaceOut) -> list[str]:
    """Short lines about a face, from what is known of it."""
    gender = face.gender.value if face.gender else ""
    emotion = face.emotion.dominant if face.emotion else ""
    doubt = "not a living face" if face.liveness and not face.liveness.is_real else ""
    lines = (_listed(gender, "" if face.age is None else f"{face.age:.0f}"), _listed(emotion, worn(face)), doubt)
    return [line for line in lines if line] or [f"{face.confidence:.2f}"]


def worn(face: FaceOut) -> str:
    """What the face wears, in words; empty for nothing."""
    glasses = f"{face.glasses.value} glasses" if face.glasses and face.glasses.value != "none" else ""
    mask = {"worn": "mask", "worn wrongly": "mask worn wrongly"}.get(face.mask.value, "") if face.mask else ""
    return _listed(glasses, mask, "hat" if face.hat and face.hat.value == "hat" else "")


def _listed(*words: str) -> str:
    return ", ".join(word for word in words if word)
