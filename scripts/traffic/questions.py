"""Requests: pictures of many sizes, each through every API. No two pictures have the same faces, so a mixed-up answer is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.benchmarking.pictures import case
from scripts.benchmarking.targets import routes

# Width, height, faces, size of the heads in pixels.
LAYOUTS = (
    (640, 480, 1, 180),
    (640, 480, 0, 0),
    (800, 600, 2, 220),
    (1024, 768, 3, 200),
    (1280, 720, 1, 260),
    (1920, 1080, 10, 280),
    (3000, 2000, 2, 800),
    (4000, 3000, 1, 1300),
)


@dataclass(frozen=True, slots=True)
class Question:
    """One request: `name` says which API and which picture."""

    name: str
    path: str
    body: bytes
    kind: str


def questions(layouts: Sequence[tuple[int, int, int, int]] = LAYOUTS) -> list[Question]:
    """Every API with every picture."""
    pictures = {f"{width}x{height} {faces} faces": case("", width, height, faces, head) for width, height, faces, head in layouts}
    return [
        Question(f"{api} {name}", path, body, kind)
        for name, picture in pictures.items()
        for api, (path, body, kind) in routes(picture).items()
    ]
