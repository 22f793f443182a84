"""Faces of several overlapping views of one picture -> faces of the picture, each once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.faces import Box, Face

# As in one view (scripts/graphs/geometry.py): boxes that overlap more, or of which one lies deeper in the other, are of one face.
MAX_IOU, MAX_NESTED = 0.3, 0.75
EDGE = 0.01  # of a tile's side: a box that ends so near to a cut is of a face that was cut


def joined(faces: Iterable[Face]) -> tuple[Face, ...]:
    """The most confident of those that are one face, by falling confidence."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.confidence, -face.box.area, face.box.x1)):
        if not among(face, kept):
            kept.append(face)
    return tuple(kept)


def among(face: Face, others: Iterable[Face]) -> bool:
    """Whether it is one of the others."""
    return any(_same(face.box, other.box) for other in others)


def uncut(faces: Iterable[Face], tile: Box, width_px: float, height_px: float) -> list[Face]:
    """Faces of a tile that its edges do not cut. All in pixels of the picture, whose own edges cut nothing."""
    margin = EDGE * max(tile.x2 - tile.x1, tile.y2 - tile.y1)
    left, top = (start + margin if start > 0 else 0.0 for start in (tile.x1, tile.y1))
    right = tile.x2 - margin if tile.x2 < width_px else tile.x2
    bottom = tile.y2 - margin if tile.y2 < height_px else tile.y2
    return [f for f in faces if left <= f.box.x1 and top <= f.box.y1 and f.box.x2 <= right and f.box.y2 <= bottom]


def moved(face: Face, x: float, y: float) -> Face:
    """The face with everything that has a place moved by x and y pixels."""
    box = Box(face.box.x1 + x, face.box.y1 + y, face.box.x2 + x, face.box.y2 + y)
    keypoints = tuple((px + x, py + y) for px, py in face.keypoints)
    landmarks = face.landmarks and tuple((px + x, py + y) for px, py in face.landmarks)
    pupils = face.pupils and tuple((px + x, py + y, radius) for px, py, radius in face.pupils)
    return replace(face, box=box, keypoints=keypoints, landmarks=landmarks, pupils=pupils)


def _same(a: Box, b: Box) -> bool:
    width, height = min(a.x2, b.x2) - max(a.x1, b.x1), min(a.y2, b.y2) - max(a.y1, b.y1)
    if width <= 0 or height <= 0:
        return False
    common = width * height
    return common > MAX_IOU * (a.area + b.area - common) or common > MAX_NESTED * min(a.area, b.area)
