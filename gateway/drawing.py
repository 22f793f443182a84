"""A photograph with its faces marked: boxes and labels that can be read at any size."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gateway.faces import Box

# Told apart also by people who see few colours (Okabe and Ito, 2008).
COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")


def annotate(pixels: NDArray[np.uint8], boxes: Sequence[Box], labels: Sequence[Sequence[str]]) -> bytes:
    """PNG of the picture (RGB uint8 [H,W,3]) with a rounded box a face and its lines of text beside it."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image, "RGBA")
    for index, box in enumerate(boxes):
        colour = COLOURS[index % len(COLOURS)]
        side = max(box.x2 - box.x1, box.y2 - box.y1)
        width = max(1, min(round(side / 60), round(max(image.size) / 250) + 1))
        draw.rounded_rectangle((box.x1, box.y1, box.x2, box.y2), radius=side / 14, outline="black", width=width + 2)
        draw.rounded_rectangle((box.x1 + 1, box.y1 + 1, box.x2 - 1, box.y2 - 1), radius=side / 14, outline=colour, width=width)
    for index, (box, lines) in enumerate(zip(boxes, labels, strict=True)):
        _label(draw, image.size, box, lines, COLOURS[index % len(COLOURS)])
    done, data = cv2.imencode(".png", np.asarray(image)[..., ::-1], (cv2.IMWRITE_PNG_COMPRESSION, 3))
    return data.tobytes() if done else b""


def _label(draw: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, lines: Sequence[str], colour: str) -> None:
    """Under the box where there is room, otherwise above it, otherwise inside; never outside the picture."""
    width, height = size
    text_px = min(max(10.0, 0.15 * (box.x2 - box.x1), max(size) / 90), max(size) / 28)
    text = "\n".join(lines)
    font = ImageFont.load_default(text_px)
    pad = text_px * 0.3
    left, top, right, bottom = draw.multiline_textbbox((0, 0), text, font=font, spacing=text_px * 0.25)
    wide, tall = right - left + 2 * pad, bottom - top + 2 * pad
    x = min(max(0.0, (box.x1 + box.x2 - wide) / 2), max(0.0, width - wide))
    y = box.y2 + pad if box.y2 + pad + tall <= height else box.y1 - pad - tall if box.y1 - pad - tall >= 0 else height - tall
    draw.rounded_rectangle((x, y, x + wide, y + tall), radius=pad, fill=(0, 0, 0, 190), outline=colour)
    draw.multiline_text((x + pad - left, y + pad - top), text, font=font, fill="white", spacing=text_px * 0.25)
