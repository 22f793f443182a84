"""Train and export `face_expression`: seven expressions. Run: python -m scripts.train.expression --help."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scripts.train.attribute_net import Trunk, View, look
from scripts.train.attribute_training import recipe_from, started_from, train
from scripts.train.command import common_arguments, sources_from, training_arguments
from scripts.train.crop_batches import Crops, Jitter, plain
from scripts.train.export import export
from scripts.train.face_crops import EMOTIONS, CropSet, load
from scripts.train.ferplus import votes
from scripts.train.labels import labels
from scripts.train.repositories import Sources
from scripts.train.taught import taught

# Grey, because half of the labelled pictures are; the middle of the crop, because they are cut to the face.
VIEW = View(left=22, top=26, side=116, size=48, grey=True)
LABELS = labels("face_expression", "EMOTION")
HAPPY = LABELS.index("happy")
VOTES_SHARE = 0.5  # of a label; the rest is FER2013's own
# Columns of a target row: seven probabilities and their weight; a smile or none, and its weight.
WEIGHT, SMILE, SMILE_WEIGHT, COLUMNS = 7, 8, 9, 10
SHARES = {"fer2013": 0.55, "celeba10k": 0.17, "fairface": 0.20, "lfw": 0.08}

Floats = NDArray[np.float32]


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
    """Cross-entropy against soft labels, and for pictures of which only the smile is known, that of `happy` against the rest."""
    log_p = logits.log_softmax(1)
    happy = log_p[:, HAPPY]
    other = torch.cat([log_p[:, :HAPPY], log_p[:, HAPPY + 1 :]], 1).logsumexp(1)
    smile = -(target[:, SMILE] * happy + (1 - target[:, SMILE]) * other) * target[:, SMILE_WEIGHT]
    return (-(target[:, :7] * log_p).sum(1) * target[:, WEIGHT] + smile).mean()


def fer_targets(sources: Sources, data: CropSet) -> NDArray[np.float32]:
    """FER2013's label, a little smoothed, and FERPlus' votes where there are any (both agree on two pictures in three)."""
    labels = np.array([LABELS.index(label) for label in data.column("label")])
    rows = np.zeros((len(labels), COLUMNS), np.float32)
    rows[:, :7] = 0.1 / 7
    rows[np.arange(len(labels)), labels] += 0.9
    rows[:, WEIGHT] = 1
    for row, given in votes(sources, data.rows).items():
        rows[row, :7] = (1 - VOTES_SHARE) * rows[row, :7] + VOTES_SHARE * given / given.sum()
    return rows


def celeba_targets(data: CropSet) -> NDArray[np.float32]:
    """A smile or none, as labelled."""
    rows = np.zeros((len(data.rows), COLUMNS), np.float32)
    rows[:, SMILE], rows[:, SMILE_WEIGHT] = data.column("Smiling") == "1", 1
    return rows


def taught_targets(said: Floats) -> NDArray[np.float32]:
    """Pictures without labels: the teacher's word [N,7] where it is sure."""
    rows = np.zeros((len(said), COLUMNS), np.float32)
    rows[:, :7] = np.nan_to_num(said)
    rows[:, WEIGHT] = 0.5 * (rows[:, :7].max(1) > 0.8)
    return rows


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
    sets = {name: load(sources, name) for name in ("fer2013", "celeba10k")}
    fer = sets["fer2013"]
    targets = {"fer2013": fer_targets(sources, fer), "celeba10k": celeba_targets(sets["celeba10k"])}
    for name in ("fairface", "lfw"):
        said = taught_targets(taught(sources, name)[:, EMOTIONS])
        sure = np.nonzero(said[:, WEIGHT])[0]
        sets[name], targets[name] = load(sources, name, sure), said[sure]
    index, weights, rows = [], [], []
    for which, (name, data) in enumerate(sets.items()):
        usable = (
            (data.column("split") == "train") & (data.found | (name == "fer2013")) & (targets[name][:, [WEIGHT, SMILE_WEIGHT]].sum(1) > 0)
        )
        kept = np.nonzero(usable)[0]
        index.append(np.stack([np.full_like(kept, which), kept], 1))
        weights.append(SHARES[name] * balanced(targets[name][kept]))
        rows.append(targets[name][kept])
    recipe = recipe_from(options, "expression", batch=96)
    crops = Crops(
        [d.crops for d in sets.values()], np.concatenate(index), np.concatenate(rows), Jitter(VIEW, options.strength), recipe.seed
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
        np.concatenate(weights),
        loss,
        validate,
        options.output,
        options.device,
        options.workers,
    )
    export(Served(net), "face_expression", plain(fer.crops, valid[:2]).numpy(), "FACE_CROPS", ["EMOTION"], 0.01)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
