"""What cameras, light, compression and things worn on a face do to pixels. Shared by all recipes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


def degrade(image: Image, rng: np.random.Generator, strength: float = 1.0) -> Image:
    """Random exposure, colour, blur, resolution, noise and JPEG. Input and output uint8 [H,W,3]."""
    image = _exposure(image, rng, strength)
    if rng.random() < 0.15:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, 2).astype(np.uint8)
    if rng.random() < 0.22 * strength:
        image = _blur(image, rng, strength)
    if rng.random() < 0.15 * strength:
        image = _low_resolution(image, rng)
    if rng.random() < 0.2 * strength:
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(2, 22) * strength)
        image = (image + noise).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        image = cv2.imdecode(data, cv2.IMREAD_COLOR).astype(np.uint8)
    return image


def relight(image: Image, rng: np.random.Generator) -> Image:
    """Another exposure, white balance, contrast and sharpness: what differs between cameras and says nothing of a face."""
    ramp = np.arange(256, dtype=np.float32)[:, None] / 255
    curve = ramp ** np.exp(rng.normal(0, 0.4)) * np.exp(rng.normal(0, 0.12, 3)) * np.exp(rng.normal(0, 0.15))
    curve = (curve - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5
    image = cv2.LUT(image, (curve * 255).clip(0, 255).astype(np.uint8)[None]).astype(np.uint8)
    if rng.random() < 0.3:
        soft = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 1.2)))
        amount = float(rng.uniform(-0.7, 1.0))
        image = cv2.addWeighted(image, 1 + amount, soft, -amount, 0).astype(np.uint8)
    if rng.random() < 0.2:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, 2).astype(np.uint8)
    return image


def _exposure(image: Image, rng: np.random.Generator, strength: float) -> Image:
    ramp = np.arange(256, dtype=np.float32)[:, None] / 255
    gamma = np.exp(rng.normal(0, 0.3 * strength))
    gain = np.exp(rng.normal(0, 0.18 * strength)) * (rng.uniform(0.2, 0.6) if rng.random() < 0.08 * strength else 1)
    tint = np.exp(rng.normal(0, 0.07 * strength, 3))
    middle = rng.normal(0, 0.06 * strength)
    table = ((ramp**gamma - 0.5) * gain + 0.5 * gain + middle) * tint * 255
    table_u8 = table.clip(0, 255).astype(np.uint8)[None]
    return cv2.LUT(image, table_u8).astype(np.uint8)


def _blur(image: Image, rng: np.random.Generator, strength: float) -> Image:
    if rng.random() < 0.6:
        return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 2.2) * strength + 0.1)).astype(np.uint8)
    length = int(rng.integers(3, 10))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), float(rng.uniform(0, 180)), 1)
    kernel = cv2.warpAffine(kernel, turn, (length, length)).astype(np.float32)
    return cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1e-3)).astype(np.uint8)


def _low_resolution(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    factor = float(rng.uniform(0.35, 0.9))
    small = cv2.resize(image, (max(2, round(width * factor)), max(2, round(height * factor))), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def paint(image: Image, boxes: Floats, points: Floats, rng: np.random.Generator, share: float = 0.18) -> None:
    """Draw sunglasses, masks, hats and patches on some faces, in place."""
    for box, five in zip(boxes, points, strict=True):
        height = float(box[3] - box[1])
        if height < 20 or rng.random() > share:
            continue
        colour = tuple(int(v) for v in rng.integers(0, 256, 3)) if rng.random() < 0.5 else (int(rng.integers(0, 50)),) * 3
        if np.isnan(five).any() or rng.random() < 0.25:
            _patch(image, box, colour, rng)
        else:
            rng.choice([_sunglasses, _mask, _hat])(image, five, colour, rng)  # type: ignore[arg-type]


def _patch(image: Image, box: Floats, colour: tuple[int, ...], rng: np.random.Generator) -> None:
    size = (box[2:] - box[:2]) * rng.uniform(0.2, 0.55, 2)
    corner = box[:2] + (box[2:] - box[:2] - size) * rng.uniform(0, 1, 2)
    end = tuple(int(v) for v in corner + size)
    cv2.rectangle(image, (int(corner[0]), int(corner[1])), end, colour, -1)


def _axes(five: Floats) -> tuple[Floats, Floats]:
    """Unit of the face: vector from image-left to image-right eye, and its perpendicular pointing to the mouth."""
    right = five[1] - five[0]
    down = np.array([-right[1], right[0]], np.float32)
    return right, down if float(down @ (five[3] + five[4] - five[0] - five[1])) > 0 else -down


def _fill(image: Image, polygon: NDArray[np.float32], colour: tuple[int, ...]) -> None:
    cv2.fillPoly(image, [polygon.round().astype(np.int32)], colour, cv2.LINE_AA)


def _sunglasses(image: Image, five: Floats, colour: tuple[int, ...], rng: np.random.Generator) -> None:
    right, _ = _axes(five)
    turn = float(np.rad2deg(np.arctan2(right[1], right[0])))
    length = float(np.hypot(*right))
    for eye in five[:2]:
        axes = (max(2, int(length * rng.uniform(0.3, 0.45))), max(2, int(length * rng.uniform(0.2, 0.35))))
        cv2.ellipse(image, (int(eye[0]), int(eye[1])), axes, turn, 0, 360, colour, -1, cv2.LINE_AA)
    ends = [five[0] - 0.7 * right, five[1] + 0.7 * right]
    start, stop = ((int(p[0]), int(p[1])) for p in ends)
    cv2.line(image, start, stop, colour, max(1, int(length * 0.08)), cv2.LINE_AA)


def _mask(image: Image, five: Floats, colour: tuple[int, ...], rng: np.random.Generator) -> None:
    right, down = _axes(five)
    top = five[2] + down * rng.uniform(-0.3, 0.25)
    bottom = (five[3] + five[4]) / 2 + down * rng.uniform(0.4, 0.7)
    _fill(
        image,
        np.array(
            [
                top - 0.95 * right + 0.1 * down,
                top,
                top + 0.95 * right + 0.1 * down,
                bottom + 0.55 * right,
                bottom + 0.15 * down,
                bottom - 0.55 * right,
            ]
        ),
        colour,
    )


def _hat(image: Image, five: Floats, colour: tuple[int, ...], rng: np.random.Generator) -> None:
    right, down = _axes(five)
    brim = (five[0] + five[1]) / 2 - down * rng.uniform(0.4, 0.8)
    crown = brim - down * rng.uniform(0.5, 1.2)
    _fill(image, np.array([brim - 1.3 * right, brim + 1.3 * right, crown + 0.9 * right, crown - 0.9 * right]), colour)
