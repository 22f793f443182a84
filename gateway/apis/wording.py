"""A face in a few words."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from gateway.attributes import ATTRIBUTES, Attribute
from gateway.v1_schema import FaceOut


def _at(row: Attribute) -> tuple[int, int]:
    return row.drawn_at or (0, 0)


LINES = [list(rows) for _, rows in groupby(sorted((row for row in ATTRIBUTES if row.drawn_at), key=_at), lambda row: _at(row)[0])]


def words(face: FaceOut) -> list[str]:
    """Short lines about a face, from what is known of it."""
    lines = (listed(row.kind.drawn(answer) for row in rows if (answer := getattr(face, row.name)) is not None) for rows in LINES)
    return [line for line in lines if line] or [f"{face.confidence:.2f}"]


def listed(words: Iterable[str]) -> str:
    """The words that are not empty, separated by commas."""
    return ", ".join(word for word in words if word)
