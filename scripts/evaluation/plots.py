"""Pictures of the recorded figures: confusion matrices, error by group, the two errors of liveness. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

Figures = dict[str, Any]
AGE_BANDS = ("0-9", "10-19", "20-39", "40-59", "60-200")
SIZES = ("under 16", "16-32", "32-64", "over 64")


def draw(name: str, results: dict[str, Figures], folder: Path) -> list[Path]:
    """All plots that the results of one model allow, as <model>-<what>.png."""
    drawn = [
        _confusion(figures, folder / f"{name}-{tensor.lower()}-confusion.png")
        for tensor, figures in results.items()
        if "confusion" in figures
    ]
    if "AGE" in results:
        drawn.append(_bars({band: results["AGE"][band] for band in AGE_BANDS}, "mean absolute error, years", folder / f"{name}-age.png"))
    if "BOXES" in results:
        drawn.append(_recall_by_size(results["BOXES"], folder / f"{name}-size.png"))
    if "LIVENESS" in results:
        drawn.append(_errors(results["LIVENESS"], folder / f"{name}-errors.png"))
    return drawn


def _confusion(figures: Figures, path: Path) -> Path:
    labels, counts = figures["confusion"]["labels"], figures["confusion"]["rows_are_truth"]
    shares = [[cell / max(1, sum(row)) for cell in row] for row in counts]
    figure, axes = plt.subplots(figsize=(5, 4.4))
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for y, row in enumerate(shares):
        for x, share in enumerate(row):
            axes.text(x, y, f"{share:.2f}", ha="center", va="center", fontsize=7, color="white" if share > 0.5 else "black")
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set(xlabel="said", ylabel="true")
    return _save(figure, path)


def _bars(groups: dict[str, Figures], label: str, path: Path) -> Path:
    figure, axes = plt.subplots(figsize=(5, 3.2))
    values = [group["value"] for group in groups.values()]
    spread = [[v - g["low"] for v, g in zip(values, groups.values(), strict=True)], [g["high"] - g["value"] for g in groups.values()]]
    axes.bar(list(groups), values, yerr=spread, capsize=3)
    axes.set_ylabel(label)
    return _save(figure, path)


def _recall_by_size(boxes: Figures, path: Path) -> Path:
    figure, axes = plt.subplots(figsize=(5, 3.2))
    for name in ("ours", "yunet"):
        axes.plot(SIZES, [boxes[name][f"recall {size} px"]["value"] for size in SIZES], marker="o", label=name)
    axes.set(xlabel="width in the 640 px letterbox, px", ylabel="recall", ylim=(0, 1))
    axes.legend()
    return _save(figure, path)


def _errors(liveness: Figures, path: Path) -> Path:
    figure, axes = plt.subplots(figsize=(5, 3.2))
    thresholds = [point["threshold"] for point in liveness["det"]]
    for key, label in (("apcer", "attacks that pass"), ("bpcer", "living that are refused")):
        axes.plot(thresholds, [point[key] for point in liveness["det"]], label=label)
    axes.set(xlabel="threshold", ylabel="share", ylim=(0, None))
    axes.legend()
    return _save(figure, path)


def _save(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)
    return path
