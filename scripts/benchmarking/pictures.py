"""The benchmark's pictures: one known face pasted on generated ground, so that every picture's number of faces is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

SAMPLE = Path(__file__).resolve().parents[2] / "tests" / "pictures" / "astronaut.jpg"
HEAD = (slice(20, 220), slice(130, 330))  # rows and columns of the sample that show the head
JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Case:
    """A picture: JPEG bytes, and how many faces were pasted in."""

    name: str
    jpeg: bytes
    faces: int

    @property
    def rgb(self) -> Image:
        """Decoded [H,W,3]."""
        bgr = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert bgr is not None  # noqa: S101
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8)


def cases() -> dict[str, Case]:
    """By name: width x height and number of faces."""
    layouts = {
        "1 face 640x480": (640, 480, 1, 180),
        "1 face 1280x720": (1280, 720, 1, 260),
        "10 faces 1920x1080": (1920, 1080, 10, 280),
        "1 face 4000x3000": (4000, 3000, 1, 1300),
        "no face 640x480": (640, 480, 0, 0),
    }
    return {name: case(name, *layout) for name, layout in layouts.items()}


def sizes() -> list[Case]:
    """One face, a quarter of the height, at growing sizes."""
    return [case(f"{w}x{h}", w, h, 1, round(h * 0.36)) for w, h in ((320, 240), (640, 480), (1280, 960), (2560, 1920), (5120, 3840))]


def crowds() -> list[Case]:
    """1920x1080 with more and more faces."""
    return [case(f"{count} faces", 1920, 1080, count, 180) for count in (0, 1, 2, 5, 10, 20, 40)]


def case(name: str, width: int, height: int, faces: int, head_px: int) -> Case:
    """`faces` heads of `head_px` in rows on soft ground with a little noise."""
    rng = np.random.default_rng(width + faces)
    coarse = rng.integers(70, 150, (max(2, height // 160), max(2, width // 160), 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    picture = cv2.add(picture, rng.integers(0, 6, picture.shape).astype(np.uint8)).astype(np.uint8)
    if faces:
        sample = cv2.imread(str(SAMPLE))
        assert sample is not None  # noqa: S101
        head = cv2.resize(sample[HEAD], (head_px, head_px), interpolation=cv2.INTER_AREA if head_px < 200 else cv2.INTER_CUBIC)
        columns = min(faces, max(1, width // int(head_px * 1.2)))
        rows = -(-faces // columns)
        for index in range(faces):
            row, column = divmod(index, columns)
            x = round((column + 0.5) * width / columns - head_px / 2)
            y = round((row + 0.5) * height / rows - head_px / 2)
            picture[y : y + head_px, x : x + head_px] = head
    return Case(name, cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes(), faces)
