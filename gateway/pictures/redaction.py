"""Faces made unrecognisable: blurred, pixelated or covered, each under an ellipse with a soft edge.

Blurring and pixelating both begin with a few mean colours, and nothing else of the face is kept: neither can be undone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from gateway.faces import Box

Pixels: TypeAlias = NDArray[np.uint8]
Method: TypeAlias = Literal["blur", "pixelate", "cover"]
# Mean colours that remain across what is hidden, and how much of their contrast. With more of either, face detectors find hidden faces
# (python -m scripts.evaluation.hidden).
BLUR_CELLS, PIXELATE_CELLS, CONTRAST = 3, 4, 0.1
# Width of the soft edge, as a part of the ellipse's half axes; it lies outside what must be hidden.
FEATHER = 0.15
COVER = (32, 32, 32)
# An ellipse around a box's middle reaches its corners at sqrt(2), which is more than a face fills.
REACH = 1.15


def hide(pixels: Pixels, boxes: Iterable[Box], method: Method, margin: float) -> None:
    """Change `pixels` (RGB uint8 [H,W,3]) in place: each box, grown on every side by `margin` of its size."""
    for box in boxes:
        _hide(pixels, box, METHODS[method], margin)


def _hide(pixels: Pixels, box: Box, method: Callable[[Pixels], Pixels], margin: float) -> None:
    height, width = pixels.shape[:2]
    middle = ((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2)
    axes = [max(1.0, (high - low) * (0.5 + margin) * REACH) for low, high in ((box.x1, box.x2), (box.y1, box.y2))]
    left, top = (max(0, math.floor(at - axis * (1 + FEATHER))) for at, axis in zip(middle, axes, strict=True))
    right, bottom = (
        min(limit, math.ceil(at + axis * (1 + FEATHER)) + 1) for at, axis, limit in zip(middle, axes, (width, height), strict=True)
    )
    if left >= right or top >= bottom:
        return
    part = pixels[top:bottom, left:right]
    x = (np.arange(left, right, dtype=np.float32) - middle[0]) / axes[0]
    y = (np.arange(top, bottom, dtype=np.float32) - middle[1]) / axes[1]
    distance = np.sqrt(x[None] ** 2 + y[:, None] ** 2)
    opacity = np.clip((1 + FEATHER - distance) / FEATHER, 0, 1)[..., None]
    part[:] = np.rint(part + (method(part) - part.astype(np.float32)) * opacity)


def _reduced(part: Pixels, cells: int) -> Pixels:
    """So many mean colours along the shorter side, nearer to their own mean than they were."""
    height, width = part.shape[:2]
    cell = max(1.0, min(height, width) / cells)
    size = (max(1, round(width / cell)), max(1, round(height / cell)))
    colours = cv2.resize(part, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    mean = colours.mean((0, 1))
    paler: Pixels = np.rint(mean + CONTRAST * (colours - mean)).astype(np.uint8)
    return paler


def _pixelated(part: Pixels) -> Pixels:
    return cv2.resize(_reduced(part, PIXELATE_CELLS), part.shape[1::-1], interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)


def _blurred(part: Pixels) -> Pixels:
    return cv2.resize(_reduced(part, BLUR_CELLS), part.shape[1::-1], interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)


def _covered(part: Pixels) -> Pixels:
    return np.full_like(part, COVER)


METHODS: dict[Method, Callable[[Pixels], Pixels]] = {"blur": _blurred, "pixelate": _pixelated, "cover": _covered}
