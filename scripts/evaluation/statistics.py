"""Point estimates with 95 % percentile bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000


def interval(measure: Callable[[NDArray[np.int64]], float], groups: NDArray[Any]) -> dict[str, float]:
    """`measure` of row indices, on all rows and on resampled groups (photographs or people, whose rows stay together)."""
    rng = np.random.default_rng(0)
    members = [np.nonzero(groups == group)[0] for group in np.unique(groups)]
    draws = [measure(np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])) for _ in range(RESAMPLES)]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return {"value": round(measure(np.arange(len(groups))), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def text(figure: dict[str, float], places: int = 3) -> str:
    """`0.981 [0.975, 0.987]`."""
    return f"{figure['value']:.{places}f} [{figure['low']:.{places}f}, {figure['high']:.{places}f}]"
