"""What the decoder gives and the models see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image: upright RGB uint8 [H,W,3] and the size of the upright original, of which it may be a reduction."""

    pixels: NDArray[np.uint8]
    width_px: int
    height_px: int
    decode_ms: float
