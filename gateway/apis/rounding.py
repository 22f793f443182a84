"""Numbers as the vendors' contracts write them."""

from __future__ import annotations

import math

from gateway.faces import Box


def whole(value: float) -> int:
    """Nearest integer, halves up."""
    return math.floor(value + 0.5)


def percent(probability: float, places: int) -> float:
    """0..1 as 0..100."""
    return round(100 * probability, places)


def clipped(box: Box, width_px: int, height_px: int) -> Box:
    """The part of a box inside the picture."""
    return Box(
        min(max(box.x1, 0.0), width_px), min(max(box.y1, 0.0), height_px), min(max(box.x2, 0.0), width_px), min(max(box.y2, 0.0), height_px)
    )


def corners(box: Box, width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """Clipped, each corner rounded, at least one pixel wide and high."""
    inside = clipped(box, width_px, height_px)
    x1, y1 = min(whole(inside.x1), width_px - 1), min(whole(inside.y1), height_px - 1)
    return x1, y1, max(whole(inside.x2), x1 + 1), max(whole(inside.y2), y1 + 1)
