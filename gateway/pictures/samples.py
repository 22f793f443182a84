"""Samples of more than eight bits: what range they have, and as eight bits. In bands of rows, so that little memory is needed on top."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BAND_ROWS = 64
# Widths of samples that cameras and scanners put into 16 bits.
WIDTHS = (8, 10, 12, 14, 16)

Range = tuple[float, float]


def width_range(highest: float) -> Range:
    """That of the narrowest usual samples among which `highest` can be, of at most 16 bits."""
    return 0, next(2**width - 1 for width in WIDTHS if highest < 2**width or width == WIDTHS[-1])


def own_range(values: NDArray[Any]) -> Range | None:
    """From 0, or the least finite value below it, to the greatest; None when no value is finite."""
    least, greatest = np.inf, -np.inf
    for band in _bands(values):
        finite = band[np.isfinite(band)]
        if finite.size:
            least, greatest = min(least, float(finite.min())), max(greatest, float(finite.max()))
    return (min(least, 0), greatest) if least <= greatest else None


def eight_bits(values: NDArray[Any], bounds: Range) -> NDArray[np.uint8]:
    """`bounds` become 0 and 255; what is no number becomes 0."""
    low, high = bounds
    small = np.zeros(values.shape, np.uint8)
    if high > low:
        for at, band in enumerate(_bands(values)):
            scaled = (band.astype(np.float64) - low) * (255 / (high - low))
            small[at * BAND_ROWS : (at + 1) * BAND_ROWS] = np.rint(np.nan_to_num(scaled, nan=0, posinf=255, neginf=0).clip(0, 255))
    return small


def _bands(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(values), BAND_ROWS):
        yield values[start : start + BAND_ROWS]
