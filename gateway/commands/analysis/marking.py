"""An answer drawn onto its photograph."""

from __future__ import annotations

from pathlib import Path

from gateway.drawing import annotate
from gateway.errors import GatewayError
from gateway.faces import Box
from gateway.images import decode, rules_of
from gateway.settings import Settings
from gateway.v1_schema import AnalysisOut, FaceOut


def mark(photograph: Path, analysis: AnalysisOut, drawn: Path) -> None:
    """Write the photograph as PNG, upright and in full size, with a box and a few words a face. Raises OSError."""
    settings = Settings()
    try:
        picture = decode(photograph.read_bytes(), rules_of(settings), settings.max_image_side_px)
    except GatewayError as error:
        raise OSError(f"cannot be drawn on: {error}") from error
    boxes = [Box(face.box.x1, face.box.y1, face.box.x2, face.box.y2) for face in analysis.faces]
    drawn.parent.mkdir(parents=True, exist_ok=True)
    drawn.write_bytes(annotate(picture.pixels, boxes, [words(face) for face in analysis.faces]))


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
