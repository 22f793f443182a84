"""Constants in ONNX's text format."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def floats(values: NDArray[np.float32]) -> str:
    """A node that holds `values`, to six places."""
    shape = ", ".join(str(n) for n in values.shape)
    return f"Constant <value = float[{shape}] {{{', '.join(f'{v:.6f}' for v in values.reshape(-1).tolist())}}}> ()"
