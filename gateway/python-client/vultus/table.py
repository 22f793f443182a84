"""Answers as rows: the columns of `vultus analyze --csv`, of the page's CSV and of DataFrames."""

from __future__ import annotations

from gateway.attributes import ATTRIBUTES
from gateway.v1_schema import AnalysisOut, FaceOut

PICTURE = ("picture", "width", "height", "faces", "face", "x1", "y1", "x2", "y2", "confidence")
# Stable: new ones come at the end, before `error`. Documented in docs/pages/client.md.
COLUMNS = (*PICTURE, *(name.format(row.name) for row in ATTRIBUTES for name in row.kind.columns), "error")


def rows(name: str, outcome: AnalysisOut | Exception) -> list[dict[str, object]]:
    """One row a face of the picture called `name`; one row when it has no face, or failed. What is not known is absent."""
    if isinstance(outcome, Exception):
        return [{"picture": name, "error": getattr(outcome, "code", None) or str(outcome)}]
    picture = {"picture": name, "width": outcome.image.width, "height": outcome.image.height, "faces": len(outcome.faces)}
    return [{**picture, "face": index, **cells(face)} for index, face in enumerate(outcome.faces)] or [picture]


def cells(face: FaceOut) -> dict[str, object]:
    """The cells of COLUMNS about one face; an attribute that is not known has none."""
    box = face.box
    found: dict[str, object] = {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2, "confidence": face.confidence}
    for row in ATTRIBUTES:
        answer = getattr(face, row.name)
        if answer is not None:
            found |= zip((name.format(row.name) for name in row.kind.columns), row.kind.cells(answer), strict=True)
    return found
