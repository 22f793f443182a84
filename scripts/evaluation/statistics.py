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


def mean_of(values: NDArray[Any], rows: NDArray[np.bool_] | None = None, groups: NDArray[Any] | None = None) -> dict[str, float]:
    """Mean of some rows with its interval and their number `n`."""
    rows = np.ones(len(values), bool) if rows is None else rows
    chosen = np.asarray(values, np.float64)[rows]
    keys = np.arange(len(chosen)) if groups is None else groups[rows]
    return {**interval(lambda index: float(chosen[index].mean()), keys), "n": len(chosen)}


def balanced(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Mean of the recalls of both answers."""
    return float((said[truth].mean() + (~said[~truth]).mean()) / 2)


def auc(score: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a positive row scores above another (ties count half)."""
    values, ranks = np.unique(score, return_inverse=True)
    counts = np.bincount(ranks, minlength=len(values))
    middle = (np.cumsum(counts) - (counts - 1) / 2)[ranks]
    count = int(positive.sum())
    return float((middle[positive].sum() - count * (count + 1) / 2) / (count * (len(score) - count)))


def equal_error_rate(score: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Where as large a share of positives is refused as of negatives is accepted."""
    thresholds = np.unique(score)
    refused = np.array([(score[positive] < t).mean() for t in thresholds])
    accepted = np.array([(score[~positive] >= t).mean() for t in thresholds])
    best = int(np.abs(refused - accepted).argmin())
    return float((refused[best] + accepted[best]) / 2)


def calibration_error(probability: NDArray[Any], right: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error (Guo et al., 2017): how far stated and true certainty are apart, averaged over equal bins."""
    place = np.minimum((np.asarray(probability) * bins).astype(int), bins - 1)
    gaps = [abs(probability[place == b].mean() - right[place == b].mean()) * (place == b).mean() for b in np.unique(place)]
    return round(float(sum(gaps)), 4)


def pearson(said: NDArray[Any], truth: NDArray[Any]) -> float:
    """Linear correlation."""
    return float(np.corrcoef(said, truth)[0, 1])


def spearman(said: NDArray[Any], truth: NDArray[Any]) -> float:
    """Rank correlation; ties get their middle rank."""
    ranks = []
    for values in (said, truth):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[place])
    return pearson(*ranks) if all(rank.std() > 0 for rank in ranks) else 0.0
