"""How far two runtimes' answers for the same batch are apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Tables of at least so many rows are ranked by their first column; ranks closer than this may change places.
RANKED_ROWS, RANK_TIE = 1000, 1e-4


def difference(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """The largest difference between two answers.

    A ranked table [B,C,F] (column 0 falls) may hold rows of nearly equal rank in another order, and another row at its cut: every
    rank must agree, and every row but those that tie with the last one must be found again among the rows of nearly its rank.
    """
    if ours.ndim < 3 or ours.shape[1] < RANKED_ROWS:
        return float(np.abs(ours - theirs).max())
    worst = float(np.abs(ours[..., 0] - theirs[..., 0]).max())
    for mine, other in zip(ours, theirs, strict=True):
        for row in mine[mine[:, 0] > mine[-1, 0] + RANK_TIE]:
            near = other[np.abs(other[:, 0] - row[0]) <= RANK_TIE]
            worst = max(worst, float(np.abs(near - row).max(1).min(initial=np.inf)))
    return worst
