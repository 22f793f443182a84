"""Small faces in large pictures: looked for in tiles, each found once and where it is. The "faces" are red squares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.faces import Face
from gateway.inference.analyzer import Analyzer, SmallFaces
from gateway.models import Catalogue, Model, Output
from gateway.pictures.picture import Picture
from gateway.pictures.tiles import FOUND_FROM_PX, FRAME_PX

Pixels = NDArray[np.uint8]
LANDMARKS = Output("marks", "LANDMARKS", "landmarks", (), "px", "", "", True)
CATALOGUE = Catalogue(
    Model("detector", "1", "", "", ()),
    (Model("marks", "1", "", "", (LANDMARKS,)),),
)


class RedSquares:
    """Finds what is red and large enough in the detector's frame; of a square at an edge what is left of it."""

    def __init__(self) -> None:
        self.calls = 0

    def infer(self, image: Pixels, outputs: tuple[str, ...]) -> Mapping[str, NDArray[Any]]:
        self.calls += 1
        _, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 0] > 150).astype(np.uint8))
        frame = FRAME_PX / max(image.shape[:2])
        found = [row[:4] for row in stats[1:] if min(row[2], row[3]) * frame >= FOUND_FROM_PX - 1]
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in found], np.float32).reshape(-1, 4)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        scores = 0.9 - np.arange(len(boxes), dtype=np.float32) / 1000
        points = np.repeat(middle[:, None], 5, 1)
        marks = np.repeat(middle[:, None], 105, 1)
        return {"NUM_FACES": np.array([len(boxes)]), "BOXES": boxes, "SCORES": scores, "KEYPOINTS": points, "LANDMARKS": marks}


def picture(squares: list[tuple[int, int, int]], width: int, height: int, reduced: int = 1) -> Picture:
    pixels = np.full((height // reduced, width // reduced, 3), 40, np.uint8)
    for left, top, side in squares:
        pixels[top // reduced : (top + side) // reduced, left // reduced : (left + side) // reduced, 0] = 220
    return Picture(pixels, width, height, 0.0)


def places(faces: tuple[Face, ...]) -> list[tuple[int, int, int]]:
    return sorted((round(f.box.x1), round(f.box.y1), round(f.box.x2 - f.box.x1)) for f in faces)


SQUARES = [(100, 80, 60), (900, 700, 60), (1_010, 300, 80), (1_500, 1_300, 60), (1_930, 30, 64), (600, 900, 500)]


@pytest.mark.parametrize("reduced", [1, 2])
def test_small_faces_are_found_in_tiles_each_once_and_where_they_are(reduced: int) -> None:
    shown, triton = picture(SQUARES, 2_000, 1_600, reduced), RedSquares()
    analyzer = Analyzer(triton, CATALOGUE)
    assert places(analyzer.analyze(shown, ()).faces) == [(600, 900, 500)]
    faces = analyzer.analyze(shown, ("landmarks",), small=SmallFaces(50, 16)).faces
    assert places(faces) == sorted(SQUARES)
    assert triton.calls > 2
    for face in faces:
        middle = pytest.approx(((face.box.x1 + face.box.x2) / 2, (face.box.y1 + face.box.y2) / 2), abs=2)
        assert face.keypoints[0] == middle
        assert face.landmarks is not None
        assert face.landmarks[7] == middle
    assert [face.confidence for face in faces] == sorted((face.confidence for face in faces), reverse=True)


def test_without_need_there_is_one_call() -> None:
    triton = RedSquares()
    Analyzer(triton, CATALOGUE).analyze(picture(SQUARES, 2_000, 1_600), (), small=SmallFaces(120, 16))
    assert triton.calls == 1


def test_no_more_tiles_than_allowed() -> None:
    triton = RedSquares()
    Analyzer(triton, CATALOGUE).analyze(picture(SQUARES, 2_000, 1_600), (), small=SmallFaces(10, 6))
    assert 1 < triton.calls <= 7
