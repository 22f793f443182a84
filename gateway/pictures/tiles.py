"""Cuts a large picture into overlapping tiles, in which the detector sees small faces larger than in the whole picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The detector sees a picture in a frame of about this side and finds most faces from this height in it on, pixels.
FRAME_PX, FOUND_FROM_PX = 640, 32


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a picture, pixels of that picture."""

    left: int
    top: int
    width: int
    height: int

    def of(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part of a picture [H,W,3], as a contiguous copy."""
        return np.ascontiguousarray(pixels[self.top : self.top + self.height, self.left : self.left + self.width])


def tiles(width: int, height: int, face_px: float, most: int) -> tuple[Tile, ...]:
    """Tiles in which a face of `face_px` is large enough for the detector; none when it is so in the whole picture.

    A face that is too large for the overlap of two tiles is found in the whole picture, which is looked at as well. With at most `most`
    tiles very small faces in very large pictures stay smaller than they should be.
    """
    whole = max(width, height) / FRAME_PX * FOUND_FROM_PX  # the smallest face that the whole picture shows well
    if face_px >= whole or most < 2:
        return ()
    overlap = math.ceil(whole)
    side = max(math.ceil(FRAME_PX / FOUND_FROM_PX * face_px), overlap * 2)
    while True:
        columns, rows = (_count(extent, side, overlap) for extent in (width, height))
        if columns * rows <= most:
            break
        side += max(1, side // 16)
    if columns * rows == 1:
        return ()
    across, down = _starts(width, side, columns), _starts(height, side, rows)
    return tuple(Tile(x, y, min(side, width), min(side, height)) for y in down for x in across)


def _count(extent: int, side: int, overlap: int) -> int:
    return max(1, math.ceil((extent - overlap) / (side - overlap)))


def _starts(extent: int, side: int, count: int) -> list[int]:
    """Evenly spread: the first tile starts at 0, the last one ends at the edge."""
    if count == 1:
        return [0]
    return [round(index * (extent - side) / (count - 1)) for index in range(count)]
