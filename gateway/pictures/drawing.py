"""A photograph with its faces marked: boxes and labels that can be read at any size."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from gateway.faces import Box, Point
from gateway.pictures.encoding import Encoding, encode

# Distinguishable with colour blindness (Okabe and Ito, 2008).
COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")
# Each holds a picture in memory, and more than one per CPU is not faster. Two gateway processes run by default.
AT_ONCE = threading.BoundedSemaphore(max(1, (os.cpu_count() or 1) // 2))


@dataclass(frozen=True, slots=True)
class Marks:
    """What is drawn for one face, in pixels: its box, lines of text, points, smaller landmarks, circles (x, y, radius)."""

    box: Box
    lines: Sequence[str] = ()
    outlined: bool = True
    points: Sequence[Point] = ()
    landmarks: Sequence[Point] = ()
    circles: Sequence[tuple[float, float, float]] = ()


def annotate(pixels: NDArray[np.uint8], boxes: Sequence[Box], labels: Sequence[Sequence[str]]) -> bytes:
    """PNG of the picture (RGB uint8 [H,W,3]) with a rounded box a face and its lines of text beside it. Raises MemoryError."""
    with AT_ONCE:
        image = pixels.copy()
        mark(image, [Marks(box, labels[index]) for index, box in enumerate(boxes)])
        return encode(image, Encoding())


def mark(image: NDArray[np.uint8], faces: Sequence[Marks]) -> None:
    """Draw on the picture (RGB uint8 [H,W,3]) in place: boxes and points first, then labels, which nothing covers.

    Pillow needs four bytes per pixel and copies them, so it gets only the parts that are drawn on: twelve megapixels with one face
    take 46 MB besides the picture, not 82.
    """
    for index, face in enumerate(faces):
        colour = COLOURS[index % len(COLOURS)]
        if face.outlined:
            _outline(image, face.box, colour)
        _points(image, face, colour)
    for index, face in enumerate(faces):
        if face.lines:
            _label(image, face.box, face.lines, COLOURS[index % len(COLOURS)])


def _points(image: NDArray[np.uint8], face: Marks, colour: str) -> None:
    """Dots so small that they leave gaps on small faces, in a ring of black."""
    side = max(face.box.x2 - face.box.x1, face.box.y2 - face.box.y1)
    shift, one = 3, 8  # OpenCV's fixed point: eighths of a pixel
    red, green, blue = ImageColor.getrgb(colour)[:3]
    for radius, points in ((side / 60, face.points), (side / 160, face.landmarks)):
        radius = max(0.6, radius)
        for x, y in points:
            at = (round(x * one), round(y * one))
            cv2.circle(image, at, round((radius + 0.6) * one), (0, 0, 0), -1, cv2.LINE_AA, shift)
            cv2.circle(image, at, round(radius * one), (red, green, blue), -1, cv2.LINE_AA, shift)
    for x, y, radius in face.circles:
        cv2.circle(image, (round(x * one), round(y * one)), round(max(1.0, radius) * one), (255, 255, 255), 1, cv2.LINE_AA, shift)


@contextmanager
def _part(image: NDArray[np.uint8], x1: float, y1: float, x2: float, y2: float) -> Iterator[tuple[ImageDraw.ImageDraw, int, int]]:
    """A drawing context for a part of the picture, and the part's left and top in pixels."""
    height, width = image.shape[:2]
    left, top = (min(max(0, math.floor(low)), size - 1) for low, size in ((x1, width), (y1, height)))
    right, bottom = (max(low + 1, min(math.ceil(high) + 1, size)) for low, high, size in ((left, x2, width), (top, y2, height)))
    part = Image.fromarray(image[top:bottom, left:right])
    yield ImageDraw.Draw(part, "RGBA"), left, top
    image[top:bottom, left:right] = part


def _outline(image: NDArray[np.uint8], box: Box, colour: str) -> None:
    side = max(box.x2 - box.x1, box.y2 - box.y1)
    width = max(1, min(round(side / 60), round(max(image.shape[:2]) / 250) + 1))
    with _part(image, box.x1, box.y1, box.x2, box.y2) as (draw, left, top):
        x1, y1, x2, y2 = box.x1 - left, box.y1 - top, box.x2 - left, box.y2 - top
        draw.rounded_rectangle((x1, y1, x2, y2), radius=side / 14, outline="black", width=width + 2)
        inner = (x1 + 1, y1 + 1, max(x1 + 1, x2 - 1), max(y1 + 1, y2 - 1))
        draw.rounded_rectangle(inner, radius=side / 14, outline=colour, width=width)


def _label(image: NDArray[np.uint8], box: Box, lines: Sequence[str], colour: str) -> None:
    """Under the box where there is room, otherwise above it, otherwise inside; never outside the picture."""
    height, width = image.shape[:2]
    text_px = min(max(10.0, 0.15 * (box.x2 - box.x1), max(width, height) / 90), max(width, height) / 28)
    text = "\n".join(lines)
    font = ImageFont.load_default(text_px)
    pad, spacing = text_px * 0.3, text_px * 0.25
    left, top, right, bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), text, font=font, spacing=spacing)
    wide, tall = right - left + 2 * pad, bottom - top + 2 * pad
    x = min(max(0.0, (box.x1 + box.x2 - wide) / 2), max(0.0, width - wide))
    y = box.y2 + pad if box.y2 + pad + tall <= height else box.y1 - pad - tall if box.y1 - pad - tall >= 0 else height - tall
    with _part(image, x, y, x + wide, y + tall) as (draw, from_x, from_y):
        x, y = x - from_x, y - from_y
        draw.rounded_rectangle((x, y, x + wide, y + tall), radius=pad, fill=(0, 0, 0, 190), outline=colour)
        draw.multiline_text((x + pad - left, y + pad - top), text, font=font, fill="white", spacing=spacing)
