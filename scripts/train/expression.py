"""Train and export `face_expression`: seven expressions. Run: python -m scripts.train.expression --help."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scripts.train.attribute_net import Trunk, View, look
from scripts.train.attribute_training import held_out, recipe_from, started_from, train
from scripts.train.command import common_arguments, sources_from, training_arguments
from scripts.train.crop_batches import Crops, Jitter, plain
from scripts.train.export import export
from scripts.train.face_crops import EMOTIONS, HUMAN_EMOTIONS, CropSet, load

# Grey, because half of the labelled pictures are; the middle of the crop, because they are cut to the face.
VIEW = View(left=22, top=26, side=116, size=48, grey=True)
LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


class Expression(nn.Module):
    """Input [B,1,48,48] -> seven logits (LABELS)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(1, 24, 1, ((48, 2), (96, 2), (160, 2)), 320)
        self.drop = nn.Dropout(0.35)
        self.out = nn.Linear(320, len(LABELS))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.drop(self.trunk(x)))
        return y


class Served(nn.Module):
    """FACE_CROPS UINT8 [B,160,160,3] -> EMOTION [B,7] probabilities (LABELS): the mean over the crop and its mirror image."""

    def __init__(self, net: Expression) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> Tensor:
        seen = look(crops, VIEW)
        both: Tensor = self.net(torch.cat([seen, seen.flip(3)])).softmax(1)
        return both.reshape(2, -1, len(LABELS)).mean(0)


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy against soft labels; the last column weighs the row."""
    return (-(target[:, :7] * logits.log_softmax(1)).sum(1) * target[:, 7]).mean()


def fer_targets(data: CropSet) -> NDArray[np.float32]:
    """True labels, a little smoothed (annotators of FER2013 agree on about two in three pictures)."""
    labels = np.array([LABELS.index(label) for label in data.column("label")])
    rows = np.full((len(labels), 8), 0.1 / 7, np.float32)
    rows[np.arange(len(labels)), labels] += 0.9
    rows[:, 7] = 1
    return rows


def agreed_targets(data: CropSet) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Colour pictures without labels: the mean of both teachers where they name the same expression with confidence."""
    one, two = data.teachers[:, EMOTIONS], data.teachers[:, HUMAN_EMOTIONS]
    mean = (one + two) / 2
    known = data.found & ~np.isnan(mean).any(1)
    sure = known & (np.nan_to_num(one).argmax(1) == np.nan_to_num(two).argmax(1)) & (np.nan_to_num(mean).max(1) > 0.6)
    return np.hstack([np.nan_to_num(mean), np.full((len(mean), 1), 0.5, np.float32)]).astype(np.float32), sure


def balanced(targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rare expressions more often, by the square root."""
    said = targets[:, :7].argmax(1)
    counts = np.bincount(said, minlength=7).clip(1)
    weight = (1 / np.sqrt(counts))[said]
    return np.asarray(weight / weight.sum())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    training_arguments(parser, 12, 20_000)
    parser.add_argument("--strength", type=float, default=0.9, help="of the augmentation (default %(default)s)")
    options = parser.parse_args()
    sources = sources_from(options)
    fer, lfw, utk = (load(sources, name) for name in ("fer2013", "lfw", "utkface"))
    fer_rows = np.nonzero(fer.column("split") == "train")[0]
    parts = [(0, fer_rows, fer_targets(fer)[fer_rows], 0.8)]
    for which, data, share in ((1, lfw, 0.1), (2, utk, 0.1)):
        soft, sure = agreed_targets(data)
        rows = np.nonzero(sure & (data.column("split") == "train") & ~held_out(data.column("path"), 16))[0]
        parts.append((which, rows, soft[rows], share))
    index = np.concatenate([np.stack([np.full_like(rows, which), rows], 1) for which, rows, _, _ in parts])
    weights = np.concatenate([share * balanced(targets) for _, _, targets, share in parts])
    recipe = recipe_from(options, "expression", batch=96)
    crops = Crops(
        [fer.crops, lfw.crops, utk.crops], index, np.concatenate([t for _, _, t, _ in parts]), Jitter(VIEW, options.strength), recipe.seed
    )
    valid = np.nonzero(fer.column("split") == "valid")[0]
    truth = np.array([LABELS.index(label) for label in fer.column("label")[valid]])

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        served = Served(model).to(options.device).eval()  # type: ignore[arg-type]
        said = (
            torch.cat([served(plain(fer.crops, chunk).to(options.device)) for chunk in np.array_split(valid, 20)]).argmax(1).cpu().numpy()
        )
        recalls = [float((said == label)[truth == label].mean()) for label in range(7)]
        return {
            "accuracy": round(float((said == truth).mean()), 4),
            "mean_recall": round(float(np.mean(recalls)), 4),
            "worst": round(min(recalls), 3),
        }

    net = train(
        recipe,
        started_from(Expression(), options.initial, crops, VIEW),
        VIEW,
        crops,
        weights,
        loss,
        validate,
        options.output,
        options.device,
        options.workers,
    )
    export(Served(net), "face_expression", plain(fer.crops, valid[:2]).numpy(), "FACE_CROPS", ["EMOTION"], 0.01)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
