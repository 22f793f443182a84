"""A decoded picture, as the models see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.pictures.encoding import Encoding


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image: upright RGB uint8 [H,W,3] and the size of the upright original, of which it may be a reduction.

    `encoding` is how the file was compressed.
    """

    pixels: NDArray[np.uint8]
    width_px: int
    height_px: int
    decode_ms: float
    encoding: Encoding = field(default_factory=Encoding)


@dataclass(frozen=True, slots=True)
class Raster:
    """Samples out of a file, perhaps reduced, in the file's colours and as they are stored.

    `mode` is L [H,W], RGB [H,W,3] or CMYK [H,W,4]; `info` what Pillow read beside them; `turned` an EXIF orientation, 1 to 8;
    `size` width and height before any reduction.
    """

    pixels: NDArray[np.uint8]
    mode: str
    info: dict[Any, Any]
    turned: int
    size: tuple[int, int]
