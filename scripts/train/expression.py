"""Train and export `face_expression`: seven expressions. Run: python -m scripts.train.expression --help."""

from __future__ import annotations

import argparse
import csv

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from scripts.train.attribute_net import Trunk, View, look
from scripts.train.attribute_training import recipe_from, started_from, train
from scripts.train.command import common_arguments, sources_from, training_arguments
from scripts.train.crop_batches import Crops, Jitter, plain
from scripts.train.export import export
from scripts.train.face_crops import CropSet, load
from scripts.train.labels import labels
from scripts.train.repositories import Sources

# Grey, because half of the labelled pictures are; the middle of the crop, because they are cut to the face.
VIEW = View(left=22, top=26, side=116, size=48, grey=True)
LABELS = labels("face_expression", "EMOTION")
HAPPY = LABELS.index("happy")
# FERPlus (Barsoum et al., 2016): ten people voted on each picture of FER2013. Their columns in the order of LABELS; contempt is left out.
FERPLUS, FERPLUS_COLUMNS = "microsoft/FERPlus", ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
VOTES_SHARE = 0.5  # of a label; the rest is FER2013's own
# Where the teacher's crop (the detector's box) lies in ours, px.
TEACHER_LEFT_PX, TEACHER_SPAN_PX = 24, 112
# Columns of a target row: seven probabilities and their weight; a smile or none, and its weight.
WEIGHT, SMILE, SMILE_WEIGHT, COLUMNS = 7, 8, 9, 10
SHARES = {"fer2013": 0.55, "celeba10k": 0.17, "fairface": 0.20, "lfw": 0.08}


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
    for row, votes in _votes(sources, data).items():
        rows[row, :7] = (1 - VOTES_SHARE) * rows[row, :7] + VOTES_SHARE * votes / votes.sum()
    return rows


def _votes(sources: Sources, data: CropSet) -> dict[int, NDArray[np.float32]]:
    """Votes [7] by row of FER2013, where at least five people named one of our expressions."""
    blob = sources.tree(FERPLUS, "fer2013new.csv")["fer2013new.csv"]
    lines = next(iter(sources.blobs(FERPLUS, [blob]))).decode().splitlines()
    table = {row["Image name"]: row for row in csv.DictReader(lines) if row["Usage"] == "Training"}
    place = {row["path"]: index for index, row in enumerate(data.rows)}
    votes = {}
    for row in sources.manifest("fer2013_to_ferplus"):
        if row["ferplus_image"] in table and row["fer2013_path"] in place:
            given = np.array([float(table[row["ferplus_image"]][name]) for name in FERPLUS_COLUMNS], np.float32)
            if given.sum() >= 5:
                votes[place[row["fer2013_path"]]] = given
    return votes


def celeba_targets(data: CropSet) -> NDArray[np.float32]:
    """A smile or none, as labelled."""
    rows = np.zeros((len(data.rows), COLUMNS), np.float32)
    rows[:, SMILE], rows[:, SMILE_WEIGHT] = data.column("Smiling") == "1", 1
    return rows


def taught_targets(sources: Sources, name: str, data: CropSet) -> NDArray[np.float32]:
    """Pictures without labels: the teacher's word where it is sure."""
    said = _teacher_says(sources, name, data)
    rows = np.zeros((len(data.rows), COLUMNS), np.float32)
    rows[:, :7], rows[:, WEIGHT] = said, 0.5 * (said.max(1) > 0.8)
    return rows


def _teacher_says(sources: Sources, name: str, data: CropSet) -> NDArray[np.float32]:
    """face-api's seven probabilities for each crop and its mirror image; asked once."""
    file = sources.cache / "crops" / f"{name}.expression.npy"
    if not file.exists():
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        net = ort.InferenceSession(str(sources.teachers / "faceapi_expression.onnx"), options, providers=["CPUExecutionProvider"])
        answers = np.zeros((len(data.rows), 7), np.float32)
        inner = slice(TEACHER_LEFT_PX, TEACHER_LEFT_PX + TEACHER_SPAN_PX)
        rows = np.nonzero((data.column("split") == "train") & data.found)[0][:: 2 if len(data.rows) > 20_000 else 1]
        for row in tqdm(rows, desc=f"expressions of {name}", unit="face", mininterval=15):
            square = data.crops[row][inner, inner]
            both = np.stack([square, square[:, ::-1]])[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
            answers[row] = net.run(None, {"input": both})[0].mean(0)[[3, 5, 4, 1, 2, 6, 0]]
        np.save(file, answers)
    return np.asarray(np.load(file))


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
    sets = {name: load(sources, name) for name in SHARES}
    fer = sets["fer2013"]
    targets = {"fer2013": fer_targets(sources, fer), "celeba10k": celeba_targets(sets["celeba10k"])}
    targets |= {name: taught_targets(sources, name, sets[name]) for name in ("fairface", "lfw")}
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
