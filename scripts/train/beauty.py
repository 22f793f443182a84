"""Train and export `face_beauty` from MEBeauty's ratings. Run: python -m scripts.train.beauty --help.

1,731 rated pictures teach a network of this size little that holds for others. A linear fit from the features of a teacher that saw far
more faces (`face_features`) to the same ratings holds better; what it says of the faces of other sets is what the network learns besides.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.evaluation.statistics import pearson
from scripts.train.attribute_net import Trunk, View, look
from scripts.train.attribute_training import Recipe, held_out, started_from, train
from scripts.train.command import common_arguments, sources_from
from scripts.train.crop_batches import Crops, Jitter, plain
from scripts.train.export import export
from scripts.train.face_crops import CropSet, load
from scripts.train.face_features import features
from scripts.train.repositories import Sources

VIEW = View(size=96)
# Ratings are 1 to 10; the answer is 0 to 100.
LOWEST, HIGHEST = 1.0, 10.0
# Faces that are rated by the linear fit, grown-up where the age is known, and what they count beside a true rating.
OTHERS, ADULT_YEARS, FITTED_WEIGHT = ("utkface", "lfw", "celeba10k"), 16, 0.5
# Draws by chance: true ratings among all.
RATED_SHARE = 0.4
# The best of six (30 to 10,000) by the held-out training pictures: correlation .71.
SHRINKAGE = 3000.0


class Beauty(nn.Module):
    """Input [B,3,96,96] -> rating in units of its spread around 5.5: [B,1]."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(3, 24, 2, ((40, 2), (80, 2), (160, 2)), 384)
        self.drop = nn.Dropout(0.4)
        self.out = nn.Linear(384, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.drop(self.trunk(x)))
        return y


class Served(nn.Module):
    """FACE_CROPS UINT8 [B,160,160,3] -> BEAUTY [B,1], 0..100."""

    def __init__(self, net: Beauty) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> Tensor:
        rating = self.net(look(crops, VIEW)) * 1.5 + 5.5
        return ((rating - LOWEST) / (HIGHEST - LOWEST) * 100).clamp(0, 100)


def loss(raw: Tensor, target: Tensor) -> Tensor:
    """Smooth absolute error of the rating; the second column weighs the row."""
    return (F.smooth_l1_loss(raw[:, 0] * 1.5 + 5.5, target[:, 0], beta=0.5, reduction="none") * target[:, 1]).mean()


def fitted(known: NDArray[np.float16], ratings: NDArray[np.float32], others: NDArray[np.float16]) -> NDArray[np.float32]:
    """Ratings [M] of `others` [M,F] by ridge regression from the features `known` [N,F] of pictures with `ratings` [N]."""
    seen = known.astype(np.float32)
    mean, spread, middle = seen.mean(0), seen.std(0) + 1e-3, ratings.mean()
    x = (seen - mean) / spread
    weights = np.linalg.solve(x.T @ x + SHRINKAGE * np.eye(x.shape[1], dtype=np.float32), x.T @ (ratings - middle))
    return np.asarray(((others.astype(np.float32) - mean) / spread) @ weights + middle, np.float32).clip(LOWEST, HIGHEST)


def grown_up(data: CropSet) -> NDArray[np.bool_]:
    """Training rows with a face, without those known to be children."""
    usable = (data.column("split") == "train") & data.found
    return usable & (data.column("age").astype(np.float32) >= ADULT_YEARS) if "age" in data.rows[0] else usable


def by_the_fit(
    sources: Sources, known: NDArray[np.float16], ratings: NDArray[np.float32]
) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64], NDArray[np.float32]]:
    """Crops of the sets of OTHERS, (1 + set, row) [M,2] of their grown-up faces, and what the fit says of each [M]."""
    sets, index, said = [], [], []
    for which, name in enumerate(OTHERS, 1):
        data = load(sources, name)
        rows = np.nonzero(grown_up(data))[0]
        sets.append(data.crops)
        index.append(np.stack([np.full_like(rows, which), rows], 1))
        said.append(fitted(known, ratings, features(sources, name)[rows]))
    return sets, np.concatenate(index), np.concatenate(said)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--samples-per-epoch", type=int, default=6_000)
    parser.add_argument("--initial", type=Path, help="checkpoint or model.onnx to start from")
    parser.add_argument("--export-only", action="store_true")
    options = parser.parse_args()
    sources = sources_from(options)
    data = load(sources, "mebeauty")
    ratings = np.array([float(text or "nan") for text in data.column("beauty_1to10")], np.float32)
    usable = (data.column("split") == "train") & data.found & np.isfinite(ratings)
    aside = held_out(data.column("path"), 9, 1)
    rows, valid = np.nonzero(usable & ~aside)[0], np.nonzero(usable & aside)[0]
    spread = np.abs(ratings[rows] - ratings[rows].mean())
    sets, others, said = by_the_fit(sources, features(sources, "mebeauty")[rows], ratings[rows])
    index = np.concatenate([np.stack([np.zeros_like(rows), rows], 1), others])
    targets = np.stack([np.concatenate([ratings[rows], said]), np.repeat([1.0, FITTED_WEIGHT], [len(rows), len(said)])], 1)
    weights = np.concatenate([RATED_SHARE * (1 + spread) / (1 + spread).sum(), np.full(len(said), (1 - RATED_SHARE) / len(said))])
    recipe = Recipe(
        "beauty", 0 if options.export_only else options.epochs, options.samples_per_epoch, batch=48, learning_rate=6e-4, average_decay=0.99
    )
    crops = Crops([data.crops, *sets], index, targets.astype(np.float32), Jitter(VIEW, 0.7), recipe.seed)

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        served = Served(model).eval()  # type: ignore[arg-type]
        said = torch.cat([served(plain(data.crops, chunk)) for chunk in np.array_split(valid, 4)])[:, 0].numpy()
        return {"pearson": round(pearson(said, ratings[valid]), 4)}

    net = train(
        recipe,
        started_from(Beauty(), options.initial, crops, VIEW),
        VIEW,
        crops,
        weights,
        loss,
        validate,
        options.output,
        options.device,
        options.workers,
    )
    export(Served(net), "face_beauty", plain(data.crops, valid[:2]).numpy(), "FACE_CROPS", ["BEAUTY"], 0.1)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
