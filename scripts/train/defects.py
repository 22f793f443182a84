"""Degradations of known strength for a face picture, each with the score (0..100) that it leaves."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

BEST = 96.0
# What takes the score to nothing: blur and noise in pixels and levels of the 160 px crop.
BLUR_SIGMA_PX, NOISE_SIGMA = 4.0, 42.0


def blur(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Out of focus, or too few pixels, by a Gaussian of `strength` * BLUR_SIGMA_PX or its like."""
    sigma = strength * BLUR_SIGMA_PX
    if sigma < 0.05:
        return image
    if rng.random() < 0.35:
        factor = 1 / (1 + 1.15 * sigma)  # measured: keeps as much of the gradient as the Gaussian
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    return cv2.GaussianBlur(image, (0, 0), sigma).astype(np.uint8)


def noise(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Sensor noise of `strength` * NOISE_SIGMA levels, in colour or grey."""
    shape = image.shape if rng.random() < 0.6 else (*image.shape[:2], 1)
    return (image + rng.normal(0, strength * NOISE_SIGMA + 1e-6, shape)).clip(0, 255).astype(np.uint8)


def light(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Too dark, too bright, or lit from one side."""
    kind = rng.random()
    values = image.astype(np.float32)
    if kind < 0.45:
        return (values * (1 - 0.9 * strength)).astype(np.uint8)
    if kind < 0.65:
        return (values + (255 * 1.15 - values) * strength * 0.85).clip(0, 255).astype(np.uint8)
    turn = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] / image.shape[0] - 0.5
    side = 1 / (1 + np.exp(-12 * (x * np.cos(turn) + y * np.sin(turn))))
    return (values * (1 - 0.93 * strength * side)[..., None]).astype(np.uint8)


def cover(image: Image, region: tuple[float, float, float, float], strength: float, rng: np.random.Generator) -> Image:
    """A patch over `strength` of the region (x1, y1, x2, y2 px): of one colour, or another stretch of the same picture."""
    x1, y1, x2, y2 = region
    width, height = (x2 - x1) * min(1.0, strength**0.5 * np.exp(rng.normal(0, 0.2))), y2 - y1
    height *= min(1.0, strength * (x2 - x1) / max(width, 1))
    left, top = x1 + rng.uniform(0, max(x2 - x1 - width, 1e-3)), y1 + rng.uniform(0, max(y2 - y1 - height, 1e-3))
    a, b, c, d = (round(v) for v in (left, top, left + width, top + height))
    covered = image.copy()
    patch = covered[max(b, 0) : d, max(a, 0) : c]
    if not patch.size:
        return covered
    if rng.random() < 0.6:
        patch[:] = rng.integers(0, 256, 3)
    else:
        source = image[rng.integers(0, image.shape[0] // 5) :, : image.shape[1] // 4]
        patch[:] = cv2.resize(source, patch.shape[1::-1])
    return covered


def no_face(crop: Image, rng: np.random.Generator) -> Image:
    """A picture without a face: a stretch of the crop's rim enlarged, or a texture."""
    side = crop.shape[0]
    if rng.random() < 0.35:
        grain = int(rng.integers(2, 24))
        coarse = (rng.integers(0, 256, (grain, grain, 3)) * rng.uniform(0.2, 1)).astype(np.uint8)
        return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    size = int(rng.integers(side // 6, side // 4))
    across = rng.random() < 0.5
    x = int(rng.integers(0, side - size)) if across else int(rng.choice([0, side - size]))
    y = int(rng.choice([0, side - size])) if across else int(rng.integers(0, side - size))
    return cv2.resize(crop[y : y + size, x : x + size], (side, side), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
