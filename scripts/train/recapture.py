"""Photographs of photographs, simulated: prints, paper cut-outs and screens held before a camera."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


def recapture(photo: Image, background: Image, rng: np.random.Generator) -> Image:
    """`photo` as a print or on a screen, photographed before `background`. All BGR uint8; the answer has the size of `photo`."""
    screen = bool(rng.random() < 0.5)
    medium = _screen(photo, rng) if screen else _print(photo, rng)
    if rng.random() < 0.65:
        medium = _held(medium, background, screen, rng)
    blurred = cv2.GaussianBlur(medium, (0, 0), float(rng.uniform(0.3, 1.3)))
    noisy = blurred + rng.normal(0, rng.uniform(0.5, 5), photo.shape)
    _, data = cv2.imencode(".jpg", noisy.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 96))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR).astype(np.uint8)


def _gamut(photo: Image, rng: np.random.Generator, low: tuple[float, float], high: tuple[float, float]) -> Floats:
    """Less contrast, less saturation, a tint."""
    values = photo.astype(np.float32)
    grey = values.mean(2, keepdims=True)
    values = grey + (values - grey) * rng.uniform(0.45, 1.0)
    black, white = rng.uniform(*low), rng.uniform(*high)
    tint = np.exp(rng.normal(0, 0.06, 3))
    return np.asarray((black + (values / 255) ** rng.uniform(0.75, 1.3) * (white - black)) * tint, np.float32)


def _print(photo: Image, rng: np.random.Generator) -> Floats:
    """Ink on paper: a raised black, a halftone or stripes, fibres."""
    values = _gamut(photo, rng, (12, 60), (165, 245))
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    if rng.random() < 0.6:
        period, turn = rng.uniform(1.6, 4.5), rng.uniform(0, np.pi)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        dots = np.cos(2 * np.pi * along / period) * (np.cos(2 * np.pi * across / period) if rng.random() < 0.7 else 1)
        values = values * (1 + rng.uniform(0.01, 0.09) * dots[..., None])
    fibres = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), float(rng.uniform(0.6, 2.5)))
    values = values + fibres[..., None] * rng.uniform(2, 9)
    if rng.random() < 0.5:  # bent paper: light changes along it
        bend = np.sin(x / width * rng.uniform(1, 5) + y / height * rng.uniform(-2, 2) + rng.uniform(0, 6))
        values = values * (1 + rng.uniform(0.03, 0.15) * bend[..., None])
    return np.asarray(values, np.float32)


def _screen(photo: Image, rng: np.random.Generator) -> Floats:
    """Light from a panel: a bluish gamut, the pixel grid beating with the camera's (moire), sometimes a reflection."""
    values = _gamut(photo, rng, (3, 35), (190, 265)) * np.array([rng.uniform(1, 1.18), 1, rng.uniform(0.86, 1.02)], np.float32)
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for _ in range(int(rng.integers(1, 4))):
        period, turn = np.exp(rng.uniform(np.log(2.1), np.log(26))), rng.uniform(0, np.pi)
        bent = rng.uniform(0, 3) * np.sin(2 * np.pi * y / height * rng.uniform(0.3, 2))
        phase = 2 * np.pi * (x * np.cos(turn) + y * np.sin(turn) + bent) / period
        colours = np.cos(phase[..., None] + np.array([0, 2.1, 4.2]) * rng.uniform(0, 1))
        values = values * (1 + rng.uniform(0.01, 0.07) * colours)
    if rng.random() < 0.35:
        centre, spread = rng.uniform(0, 1, 2) * [width, height], rng.uniform(0.1, 0.4) * width
        spot = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * spread**2))
        values = values + spot[..., None] * rng.uniform(20, 110)
    return np.asarray(values, np.float32)


def _held(medium: Floats, background: Image, screen: bool, rng: np.random.Generator) -> Floats:
    """The medium with its border, seen at an angle before the background."""
    height, width = medium.shape[:2]
    rim = int(rng.uniform(0.01, 0.09) * width)
    colour = rng.uniform(5, 50) if screen else rng.uniform(150, 245)
    framed = cv2.copyMakeBorder(medium, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=[float(colour)] * 3)
    size = np.array([framed.shape[1], framed.shape[0]], np.float32)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    share = rng.uniform(0.55, 0.98)
    slack = (1 - share) * np.array([width, height])
    origin = rng.uniform(0, 1, 2) * slack
    goal = origin + corners * share * [width, height] + rng.normal(0, 0.025, (4, 2)) * [width, height]
    turn = cv2.getPerspectiveTransform(corners * size, goal.astype(np.float32))
    seen = cv2.warpPerspective(framed, turn, (width, height), flags=cv2.INTER_LINEAR)
    cover = cv2.warpPerspective(np.ones(framed.shape[:2], np.float32), turn, (width, height))[..., None]
    behind = cv2.GaussianBlur(cv2.resize(background, (width, height)), (0, 0), float(rng.uniform(0.5, 6))).astype(np.float32)
    return np.asarray(seen * cover + behind * rng.uniform(0.5, 1.1) * (1 - cover), np.float32)
