"""Which of the detected faces are returned, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.faces import Face

# The most faces that the models report (scripts/graphs/geometry.py). A picture with as many may have more.
MOST_FACES = 128


@dataclass(frozen=True, slots=True)
class Selection:
    """`min_face_px` is the shorter side of a face's box, in pixels of the upright image. `order`: confidence or size."""

    max_faces: int = MOST_FACES
    min_confidence: float = 0.0
    min_face_px: int = 0
    order: str = "confidence"

    def of(self, faces: tuple[Face, ...]) -> list[Face]:
        """Faces that are confident and large enough, the most confident or the largest first. `faces` come sorted by confidence."""
        kept = [face for face in faces if face.confidence >= self.min_confidence and _shorter_side_px(face) >= self.min_face_px]
        if self.order == "size":
            kept.sort(key=lambda face: -face.box.area)
        return kept[: self.max_faces]


def _shorter_side_px(face: Face) -> float:
    return min(face.box.x2 - face.box.x1, face.box.y2 - face.box.y1)
