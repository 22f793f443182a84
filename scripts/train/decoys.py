"""Things that a small detector takes for faces, drawn where no face is: balls, wheels, blobs, stars, letters, faces with shuffled parts."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


def place_decoys(image: Image, taken: Floats, rng: np.random.Generator, most: int = 8, largest: float = 0.7) -> None:
    """Up to `most` decoys on `image`, in place, none touching a box [N,4] of `taken`; shuffled faces are cut from `image` itself.

    The largest are `largest` of the shorter side.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    for _ in range(int(rng.integers(1, most + 1))):
        size = int(np.exp(rng.uniform(np.log(10), np.log(side * largest))))
        x, y = (int(v) for v in rng.integers(0, [max(1, width - size), max(1, height - size)]))
        if _free(x, y, size, taken):
            patch = image[y : y + size, x : x + size]
            kinds = [_ball, _ball, _ring, _wheel, _blobs, _stars, _letters, _lines]
            kinds[rng.integers(len(kinds))](patch, rng)
    for box in taken[:3]:
        if rng.random() < 0.5:
            _shuffled(image, box, taken, rng)


def nothing(side: int, rng: np.random.Generator) -> Image:
    """A whole picture [S,S,3] without a face: grain of many sizes in a few colours, a sky, or one thing that fills it."""
    image = _grain(side, side, rng)
    kind = rng.random()
    if kind < 0.25:
        image[:] = (image * rng.uniform(0, 0.25)).astype(np.uint8)
        _stars(image, rng, most=60)
    elif kind < 0.65:
        if rng.random() < 0.6:
            image[:] = rng.integers(0, 256, 3) if rng.random() < 0.5 else 0
        low, high = (int(v) for v in (rng.uniform(0, 0.12) * side, rng.uniform(0.88, 1) * side))
        (_ball, _wheel, _blobs)[rng.integers(3)](image[low:high, low:high], rng)
    return image


def _free(x: int, y: int, size: int, taken: Floats) -> bool:
    apart = (taken[:, 0] > x + size) | (taken[:, 2] < x) | (taken[:, 1] > y + size) | (taken[:, 3] < y)
    return bool(apart.all())


def _colour(rng: np.random.Generator) -> NDArray[np.float32]:
    """Any colour, often one of skin."""
    if rng.random() < 0.5:
        return (np.array([110, 140, 190], np.float32) * rng.uniform(0.3, 1.3) + rng.normal(0, 12, 3)).clip(0, 255).astype(np.float32)
    return rng.uniform(0, 255, 3).astype(np.float32)


def _disc(height: int, width: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Soft mask 0..1 of a turned ellipse that fills most of the patch, and the distance from its centre (1 at the rim)."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turn = rng.uniform(0, np.pi)
    dx, dy = x - width / 2, y - height / 2
    a, b = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    distance = np.hypot(a / (width * 0.47), b / (height * rng.uniform(0.3, 0.47)))
    soft = ((1 - distance) * min(height, width) / rng.uniform(1, 6)).clip(0, 1)
    return soft.astype(np.float32), distance.astype(np.float32)


def _blend(patch: Image, colour: Floats, mask: Floats) -> None:
    patch[:] = (patch * (1 - mask[..., None]) + colour * mask[..., None]).clip(0, 255).astype(np.uint8)


def _ball(patch: Image, rng: np.random.Generator) -> None:
    """A shaded disc with a pattern: ball, coin, plate, moon, button."""
    height, width = patch.shape[:2]
    mask, distance = _disc(height, width, rng)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    light = 1 + rng.uniform(-0.6, 0.6) * (x / width - 0.5) + rng.uniform(-0.6, 0.6) * (y / height - 0.5) - rng.uniform(0, 0.6) * distance
    grain = int(rng.integers(2, 14))
    pattern = cv2.resize(rng.normal(0, 1, (grain, grain, 1)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    colour = _colour(rng) * light[..., None] + pattern[..., None] * rng.uniform(0, 45)
    _blend(patch, colour.astype(np.float32), mask)


def _ring(patch: Image, rng: np.random.Generator) -> None:
    height, width = patch.shape[:2]
    mask, distance = _disc(height, width, rng)
    inner = rng.uniform(0.3, 0.9)
    _blend(patch, np.broadcast_to(_colour(rng), patch.shape), mask * (distance > inner))


def _wheel(patch: Image, rng: np.random.Generator) -> None:
    """A disc whose colour turns with the angle, or changes with the distance: colour wheel, fan, flower, eye, target."""
    height, width = patch.shape[:2]
    mask, distance = _disc(height, width, rng)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turning = np.arctan2(y - height / 2, x - width / 2) * rng.integers(1, 9) if rng.random() < 0.6 else distance * rng.uniform(3, 25)
    phases = rng.uniform(0, 2 * np.pi, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0, 2 * np.pi))
    wave = np.sin(turning[..., None] + phases) * rng.uniform(20, 128) + _colour(rng)
    _blend(patch, wave.clip(0, 255).astype(np.float32), mask)


def _stars(patch: Image, rng: np.random.Generator, most: int = 12) -> None:
    """Soft lights: stars, galaxies, lamps, reflections."""
    height, width = patch.shape[:2]
    for _ in range(int(rng.integers(1, most + 1))):
        size = np.exp(rng.uniform(0, np.log(max(2.0, min(height, width) / 7))))
        left, top, reach = int(rng.integers(0, width)), int(rng.integers(0, height)), int(3 * size) + 1
        part = patch[max(0, top - reach) : top + reach, max(0, left - reach) : left + reach]
        y, x = np.mgrid[: part.shape[0], : part.shape[1]].astype(np.float32)
        dx, dy = x - min(left, reach), y - min(top, reach)
        turn, squeeze = rng.uniform(0, np.pi), rng.uniform(0.3, 1)
        a, b = dx * np.cos(turn) + dy * np.sin(turn), (dy * np.cos(turn) - dx * np.sin(turn)) / squeeze
        light = np.exp(-(((a**2 + b**2) / size**2) ** rng.uniform(0.5, 1))) * (1 - np.hypot(dx, dy) / reach).clip(0, 1)
        part[:] = (part + light[..., None] * rng.uniform(60, 255, 3)).clip(0, 255).astype(np.uint8)


def _grain(height: int, width: int, rng: np.random.Generator) -> Image:
    """Noise of several sizes, between two to four colours: tissue, sand, leaves, clouds, stone."""
    field = np.zeros((height, width), np.float32)
    for octave in range(1, int(rng.integers(2, 8))):
        cells = min(2 ** (octave + 1), min(height, width))
        noise = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        field += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * octave ** -rng.uniform(0, 1.5)
    colours = np.stack([_colour(rng) for _ in range(int(rng.integers(2, 5)))])
    place = (field - field.min()) / max(float(np.ptp(field)), 1e-6) * (len(colours) - 1)
    if rng.random() < 0.3:
        place = place.round()
    below = np.floor(place).astype(int).clip(0, len(colours) - 2)
    share = (place - below)[..., None]
    return (colours[below] * (1 - share) + colours[below + 1] * share).clip(0, 255).astype(np.uint8)


def _blobs(patch: Image, rng: np.random.Generator) -> None:
    """A disc with spots at random places: features, but no face."""
    _ball(patch, rng)
    size = min(patch.shape[:2])
    for _ in range(int(rng.integers(1, 9))):
        centre = tuple(int(v) for v in rng.integers(size // 6, max(size // 6 + 1, size), 2))
        axes = (max(1, int(size * rng.uniform(0.02, 0.14))), max(1, int(size * rng.uniform(0.02, 0.14))))
        cv2.ellipse(patch, centre, axes, float(rng.uniform(0, 180)), 0, 360, tuple(float(v) for v in _colour(rng)), -1, cv2.LINE_AA)


def _letters(patch: Image, rng: np.random.Generator) -> None:
    size = patch.shape[0]
    colour = tuple(float(v) for v in rng.uniform(0, 255, 3))
    for line in range(int(rng.integers(1, 5))):
        text = "".join(chr(int(c)) for c in rng.integers(33, 127, int(rng.integers(1, 14))))
        scale = size / 60 * rng.uniform(0.3, 1.4)
        place = (0, int(size * (line + 1) / 5))
        cv2.putText(patch, text, place, int(rng.integers(0, 8)), float(scale), colour, max(1, int(scale * 2)), cv2.LINE_AA)


def _lines(patch: Image, rng: np.random.Generator) -> None:
    size = patch.shape[0]
    period = int(rng.integers(3, max(4, size // 2)))
    wave = (
        (np.indices((size, patch.shape[1])) // period).sum(0) % 2
        if rng.random() < 0.5
        else np.indices((size, patch.shape[1]))[0] // period % 2
    )
    first, second = _colour(rng), _colour(rng)
    patch[:] = np.where(wave[..., None] == 1, first, second).astype(np.uint8)


def _shuffled(image: Image, box: Floats, taken: Floats, rng: np.random.Generator) -> None:
    """A face cut into tiles and put together wrongly, where there is room for it."""
    x1, y1, x2, y2 = box.round().astype(int)
    size = min(x2 - x1, y2 - y1)
    tiles = int(rng.integers(2, 5))
    step = size // tiles
    if step < 4:
        return
    size = step * tiles
    places = rng.integers(0, max(1, image.shape[0] - size), (12, 2))
    for x, y in places:
        if _free(int(x), int(y), size, taken):
            face = image[y1 : y1 + size, x1 : x1 + size].copy()
            if face.shape[:2] != (size, size):
                return
            order = rng.permutation(tiles * tiles)
            for target, source in enumerate(order):
                ty, tx, sy, sx = (int(v) * step for v in (*divmod(target, tiles), *divmod(int(source), tiles)))
                image[y + ty : y + ty + step, x + tx : x + tx + step] = face[sy : sy + step, sx : sx + step]
            return
