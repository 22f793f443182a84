"""Things done to an aligned crop, where the template says eyes, nose and mouth are: masks and sunglasses drawn, the rim cut off."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.graphs.geometry import CROP_SIDE_PX, crop_template

Image = NDArray[np.uint8]

EYE_LEFT, EYE_RIGHT, NOSE, MOUTH_LEFT, MOUTH_RIGHT = crop_template()
CHIN_Y, CHEEKS_X = 142.0, (46.0, 114.0)
# Where a mask's upper edge lies, px of the crop. Worn: on the nose's bridge. Wrongly: under the nostrils, or under the mouth.
WORN_TOP, UNDER_NOSE_TOP, UNDER_MOUTH_TOP = (82.0, 97.0), (104.0, 112.0), (122.0, 130.0)
# How much of a crop may lie outside its picture, px: above (up to the eyebrows), on either side, below.
CUT_ABOVE_PX, CUT_ASIDE_PX, CUT_BELOW_PX = 68, 40, 24
HAT_GONE_PX = 36  # a crop that lacks as many rows above shows no hat, and no head without one


def draw_mask(crop: Image, rng: np.random.Generator, wrongly: bool) -> Image:
    """A copy with a mask: plain, pleated or patterned; `wrongly` leaves the nose, or nose and mouth, bare."""
    band = WORN_TOP if not wrongly else UNDER_NOSE_TOP if rng.random() < 0.75 else UNDER_MOUTH_TOP
    top, bottom = rng.uniform(*band), CHIN_Y + rng.uniform(-4, 10)
    bridge = top - rng.uniform(0, 5) * (not wrongly)
    left, right = CHEEKS_X[0] + rng.uniform(-5, 8), CHEEKS_X[1] + rng.uniform(-8, 5)
    side = top + rng.uniform(2, 12)
    outline = np.array([[left, side], [EYE_LEFT[0] + 6, top], [80, bridge], [EYE_RIGHT[0] - 6, top], [right, side],
                        [right - 4, bottom - 22], [100, bottom - 3], [80, bottom], [60, bottom - 3], [left + 4, bottom - 22]])  # fmt: skip
    outline += rng.normal(0, 1.2, outline.shape)
    cover = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillPoly(cover, [outline.round().astype(np.int32)], (255,), cv2.LINE_AA)
    drawn = _cloth(rng)
    for x, start in ((left, left - 14), (right, right + 14)):  # the strings
        ends = (int(x), int(side)), (int(start), int(EYE_LEFT[1] + rng.uniform(-2, 14)))
        cv2.line(crop := crop.copy(), *ends, [int(v) for v in drawn[80, 80]], 1, cv2.LINE_AA)
    alpha = cv2.GaussianBlur(cover, (0, 0), 0.8)[..., None].astype(np.float32) / 255 * rng.uniform(0.9, 1)
    return (crop * (1 - alpha) + drawn * alpha).astype(np.uint8)


def _cloth(rng: np.random.Generator) -> NDArray[np.float32]:
    side = CROP_SIDE_PX
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    kinds = np.array([[220, 190, 150], [245, 245, 240], [30, 30, 32], [160, 120, 70], [200, 200, 235]], np.float32)
    colour = kinds[rng.integers(len(kinds))] + rng.normal(0, 12, 3) if rng.random() < 0.7 else rng.uniform(0, 255, 3)
    shade = 1 + rng.uniform(-0.4, 0.4) * (x - 0.5) - rng.uniform(0, 0.5) * np.abs(x - 0.5) + rng.uniform(-0.2, 0.1) * (y - 0.7)
    if rng.random() < 0.6:  # pleats
        shade = shade + rng.uniform(0.02, 0.1) * np.sin(y * rng.uniform(40, 110) + rng.uniform(0, 6))
    cloth = colour * shade[..., None]
    if rng.random() < 0.2:
        grain = rng.normal(0, 40, (int(rng.integers(6, 40)),) * 2 + (3,)).astype(np.float32)
        cloth = cloth + cv2.resize(grain, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray((cloth + rng.normal(0, 2, cloth.shape)).clip(0, 255), np.float32)


def draw_sunglasses(crop: Image, rng: np.random.Generator) -> Image:
    """A copy with dark glasses."""
    lenses = np.zeros(crop.shape[:2], np.uint8)
    width, height = rng.uniform(11, 15.5), rng.uniform(7.5, 13)
    for eye in (EYE_LEFT, EYE_RIGHT):
        x, y = round(float(eye[0])), round(float(eye[1]) + rng.uniform(0, 3))
        if rng.random() < 0.7:
            cv2.ellipse(lenses, (x, y), (round(width), round(height)), 0, 0, 360, (255,), -1, cv2.LINE_AA)
        else:
            corner, opposite = (x - round(width), y - round(height * 0.8)), (x + round(width), y + round(height))
            cv2.rectangle(lenses, corner, opposite, (255,), -1)
    level = int(EYE_LEFT[1])
    for start, end in ((46, 52), (76, 84), (108, 114)):
        cv2.line(lenses, (start, level), (end, level), (255,), int(rng.integers(1, 4)), cv2.LINE_AA)
    tint = np.array([18, 16, 15], np.float32) * rng.uniform(0.2, 3) + rng.uniform(0, 25, 3)
    shine = np.linspace(rng.uniform(0, 60), 0, CROP_SIDE_PX)[:, None, None] * (rng.random() < 0.5)
    alpha = lenses[..., None].astype(np.float32) / 255 * rng.uniform(0.82, 1)
    return (crop * (1 - alpha) + (tint + shine) * alpha).clip(0, 255).astype(np.uint8)


def cut_off(crop: Image, rng: np.random.Generator) -> tuple[Image, int]:
    """A copy as of a picture cut close to the face, and how many rows are missing above.

    What lies outside is black or of one colour: always some of it above, often on the other sides too.
    """
    cut, side = crop.copy(), crop.shape[0]
    colour = 0 if rng.random() < 0.8 else rng.integers(0, 256, 3)
    above = int(rng.integers(1, CUT_ABOVE_PX))
    cut[:above] = colour
    if rng.random() < 0.6:
        left, right = (int(v) for v in rng.integers(0, CUT_ASIDE_PX, 2))
        cut[:, :left] = cut[:, side - right :] = colour
        cut[side - int(rng.integers(0, CUT_BELOW_PX)) :] = colour
    return cut, above
