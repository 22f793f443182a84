"""Train and export `face_beauty` from MEBeauty's ratings. Run: python -m scripts.train.beauty --help."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.evaluation.statistics import pearson
from scripts.train.attribute_net import Trunk, look
from scripts.train.attribute_training import Recipe, held_out, train
from scripts.train.command import common_arguments, sources_from
from scripts.train.crop_batches import Crops, Jitter, plain
from scripts.train.demographics import VIEW, Demographics
from scripts.train.export import export
from scripts.train.face_crops import load

# Ratings are 1 to 10; the answer is 0 to 100.
LOWEST, HIGHEST = 1.0, 10.0


class Beauty(nn.Module):
    """Input [B,3,96,96] -> rating in units of its spread around 5.5: [B,1]. The trunk starts from our `face_demographics`."""

    def __init__(self, start: Demographics | None = None) -> None:
        super().__init__()
        self.trunk: Trunk = (start or Demographics()).trunk
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
    """Smooth absolute error of the rating."""
    return F.smooth_l1_loss(raw[:, 0] * 1.5 + 5.5, target[:, 0], beta=0.5)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--samples-per-epoch", type=int, default=2_400)
    parser.add_argument("--export-only", action="store_true")
    options = parser.parse_args()
    data = load(sources_from(options), "mebeauty")
    ratings = np.array([float(text or "nan") for text in data.column("beauty_1to10")], np.float32)
    usable = (data.column("split") == "train") & data.found & np.isfinite(ratings)
    aside = held_out(data.column("path"), 9, 1)
    rows, valid = np.nonzero(usable & ~aside)[0], np.nonzero(usable & aside)[0]
    spread = np.abs(ratings[rows] - ratings[rows].mean())
    start = Demographics()
    start.load_state_dict(torch.load(options.output / "demographics.pt", map_location="cpu")["average"])
    recipe = Recipe(
        "beauty", 0 if options.export_only else options.epochs, options.samples_per_epoch, batch=48, learning_rate=6e-4, average_decay=0.99
    )
    crops = Crops([data.crops], np.stack([np.zeros_like(rows), rows], 1), ratings[rows][:, None], Jitter(VIEW, 0.7), recipe.seed)

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        served = Served(model).eval()  # type: ignore[arg-type]
        said = torch.cat([served(plain(data.crops, chunk)) for chunk in np.array_split(valid, 4)])[:, 0].numpy()
        return {"pearson": round(pearson(said, ratings[valid]), 4)}

    net = train(recipe, Beauty(start), VIEW, crops, 1 + spread, loss, validate, options.output, options.device, options.workers)
    export(Served(net), "face_beauty", plain(data.crops, valid[:2]).numpy(), "FACE_CROPS", ["BEAUTY"], 0.1)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
