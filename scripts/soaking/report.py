"""From samples and events to figures and a plot."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import theilslopes

from scripts.soaking.samples import Sample
from scripts.traffic.answers import Verdict
from scripts.traffic.load import Event

Series = Mapping[str, Sequence[Sample]]
S_PER_MIN = 60


def slope_per_min(times_s: Sequence[float], values: Sequence[float]) -> float:
    """Theil-Sen: the median of the slopes between all pairs, which single peaks do not move. 0 for fewer than three values."""
    return float(theilslopes(values, times_s)[0]) * S_PER_MIN if len(values) > 2 else 0.0


def totals(series: Series) -> list[Sample]:
    """All processes together, sample by sample."""
    moments = sorted({sample.time_s for samples in series.values() for sample in samples})
    rows = {moment: [s for samples in series.values() for s in samples if s.time_s == moment] for moment in moments}
    return [
        Sample(moment, *(sum(getattr(s, name) for s in row) for name in ("rss_mb", "pss_mb", "shared_mb", "fds")))
        for moment, row in rows.items()
    ]


def growth(samples: Sequence[Sample], warm_up_s: float) -> dict[str, float]:
    """First and last value and the slope after the warm-up, of memory and descriptors."""
    kept = [s for s in samples if s.time_s >= warm_up_s] or list(samples)
    times = [s.time_s for s in kept]
    figures: dict[str, float] = {"seconds": round(times[-1] - times[0], 1)}
    for name in ("rss_mb", "pss_mb", "shared_mb", "fds"):
        values = [float(getattr(s, name)) for s in kept]
        figures |= {
            f"{name}_first": round(float(np.median(values[:3])), 1),
            f"{name}_last": round(float(np.median(values[-3:])), 1),
            f"{name}_per_min": round(slope_per_min(times, values), 3),
        }
    return figures


def summary(series: Series, at_rest: Series, events: Sequence[Event], seconds: float, warm_up_s: float) -> dict[str, Any]:
    """Everything, as it goes into results.json."""
    counts = Counter(event.verdict for event in events)
    took = [event.took_s * 1e3 for event in events if event.verdict is Verdict.RIGHT]
    return {
        "seconds": round(seconds, 1),
        "warm_up_s": warm_up_s,
        "requests": len(events),
        "verdicts": {str(verdict): counts[verdict] for verdict in Verdict},
        "not_right": dict(Counter(f"{e.question}: {e.verdict} {e.status}" for e in events if e.verdict is not Verdict.RIGHT)),
        "requests_per_s": round(counts[Verdict.RIGHT] / seconds, 2),
        "latency_ms": {f"p{p}": round(float(np.percentile(took, p)), 1) for p in (50, 95, 99)} if took else {},
        "all": growth(totals(series), warm_up_s),
        "at_rest": growth(totals(at_rest), warm_up_s),
        "processes": {name: growth(samples, warm_up_s) for name, samples in sorted(series.items())},
        "processes_at_rest": {name: growth(samples, warm_up_s) for name, samples in sorted(at_rest.items())},
    }


def table(series: Series, at_rest: Series, path: Path) -> None:
    """Every sample of every process as CSV."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["when", "process", *Sample.__slots__])
        for when, samples in (("load", series), ("rest", at_rest)):
            rows.writerows([when, name, *(getattr(s, field) for field in Sample.__slots__)] for name in samples for s in samples[name])


def plot(series: Series, at_rest: Series, warm_up_s: float, path: Path) -> None:
    """Resident memory of every process that holds at least 1 % of all, and the sum; descriptors below."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    together = totals(series)
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 8), sharex=True)
    for name, samples in series.items():
        if samples[-1].rss_mb >= together[-1].rss_mb / 100:
            above.plot([s.time_s / S_PER_MIN for s in samples], [s.rss_mb for s in samples], label=name)
    above.plot([s.time_s / S_PER_MIN for s in together], [s.rss_mb for s in together], "k", label="all")
    above.plot([s.time_s / S_PER_MIN for s in together], [s.pss_mb for s in together], "k:", label="all, shared pages once")
    resting = totals(at_rest)
    above.plot([s.time_s / S_PER_MIN for s in resting], [s.rss_mb for s in resting], "r.", label="all, at rest")
    above.set(ylabel="resident MB", ylim=(0, None))
    above.legend(fontsize=6, ncols=3)
    below.plot([s.time_s / S_PER_MIN for s in together], [s.fds for s in together], "k")
    below.set(xlabel="minutes", ylabel="file descriptors", ylim=(0, None))
    for axes in (above, below):
        axes.axvline(warm_up_s / S_PER_MIN, color="grey", linestyle="--")
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)
