"""Learning curves: `python -m scripts.train.curves FOLDER` draws training.jsonl of every model as <model>.png.

That file holds the metrics of all stages of a training, as the recipes wrote them to runs/<name>.jsonl: a line an epoch with figures on
held-out training pictures (the detector: a line every 50 steps with its losses).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from scripts.pipeline import REPOSITORY

mpl.use("Agg")
from matplotlib import pyplot as plt

NOT_DRAWN = {"epoch", "step", "stage", "seconds", "side"}
SMOOTHED_OVER = 9  # lines of the detector, whose losses are of single batches of different sizes


def draw(metrics: Path, path: Path) -> Path:
    """One panel a figure, over epochs or steps."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    names = [name for name in lines[-1] if name not in NOT_DRAWN]
    unit = "step" if "step" in lines[-1] else "epoch"
    figure, panels = plt.subplots(1, len(names), figsize=(2.6 * len(names), 2.6), squeeze=False)
    for axes, name in zip(panels[0], names, strict=True):
        x = [line[unit] if unit == "step" else index + 1 for index, line in enumerate(lines)]
        y = np.array([line.get(name, np.nan) for line in lines], float)
        axes.plot(x, _smoothed(y) if unit == "step" else y, linewidth=1.2)
        axes.set_title(name.replace("_", " "), fontsize=8)
        axes.tick_params(labelsize=7)
        axes.set_xlabel(unit, fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)
    return path


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([np.nanmedian(values[max(0, i - SMOOTHED_OVER) : i + SMOOTHED_OVER + 1]) for i in range(len(values))])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for metrics in sorted(REPOSITORY.glob("face_*/training.jsonl")):
        draw(metrics, folder / f"{metrics.parent.name}.png")


if __name__ == "__main__":
    main()
