"""An answer drawn onto its photograph."""

from __future__ import annotations

from pathlib import Path

from gateway.apis.wording import words
from gateway.commands.analysis.services import Failed
from gateway.errors import GatewayError
from gateway.faces import Box
from gateway.pictures.decoding import decode, rules_of
from gateway.pictures.drawing import annotate
from gateway.settings import Settings
from gateway.v1_schema import AnalysisOut


def mark(photograph: Path | bytes | str, analysis: AnalysisOut, drawn: Path) -> None:
    """Write the photograph as PNG, upright and in full size, with a box and a few words a face. Raises Failed."""
    if isinstance(photograph, str):
        raise Failed("not_drawn", "Pictures by address are not drawn: the service alone has their pixels.")
    settings = Settings()
    boxes = [Box(face.box.x1, face.box.y1, face.box.x2, face.box.y2) for face in analysis.faces]
    try:
        picture = decode(
            photograph if isinstance(photograph, bytes) else photograph.read_bytes(), rules_of(settings), settings.max_image_side_px
        )
        drawn.parent.mkdir(parents=True, exist_ok=True)
        drawn.write_bytes(annotate(picture.pixels, boxes, [words(face) for face in analysis.faces]))
    except (GatewayError, OSError) as error:
        raise Failed("not_drawn", f"The drawn picture could not be made: {error}") from error
