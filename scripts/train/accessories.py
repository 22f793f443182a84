"""Train and export `face_accessories`: glasses, mask, hat. Run: python -m scripts.train.accessories --help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from scripts.evaluation.statistics import balanced
from scripts.pipeline import REPOSITORY
from scripts.train import face_crops, mask_crops, mesh_labels
from scripts.train.attribute_net import Trunk, View, look
from scripts.train.attribute_training import held_out, recipe_from, started_from, train
from scripts.train.command import common_arguments, sources_from, training_arguments
from scripts.train.crop_batches import Crops, Jitter, Views, plain
from scripts.train.export import export
from scripts.train.labels import labels
from scripts.train.repositories import Sources
from scripts.train.worn import HAT_GONE_PX, cut_off, draw_mask, draw_sunglasses

VIEW = View(size=80)  # the whole crop: hats are above the face
GLASSES, MASKS, HATS = (labels("face_accessories", tensor) for tensor in ("GLASSES", "MASK", "HAT"))
# Sets without labels of what is worn, and their share of the samples.
TAUGHT = {"lfw": 0.10, "utkface": 0.08, "fairface": 0.26}
ONE_IN = {"celeba10k": 1, "lfw": 3, "utkface": 5, "fairface": 4}  # of the pictures of a set are used
# Columns of a target row: probabilities of each head and its weight.
GLASSES_WEIGHT, MASK, MASK_WEIGHT, HAT, HAT_WEIGHT, COLUMNS = 3, 4, 7, 8, 10, 11


class Accessories(nn.Module):
    """Input [B,3,80,80] -> logits of GLASSES, MASKS, HATS: [B,8]."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(3, 24, 2, ((40, 1), (80, 2), (128, 1)), 256)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(256, 8)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.drop(self.trunk(x)))
        return y


class Served(nn.Module):
    """FACE_CROPS UINT8 [B,160,160,3] -> GLASSES [B,3], MASK [B,3], HAT [B,2]: probabilities.

    `bias` [8] moves the logits so that 0.5 is the operating point that `alarm_point` finds on held-out training rows.
    """

    def __init__(self, net: Accessories, bias: tuple[float, ...] = (0.0,) * 8) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("bias", torch.tensor(bias))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.net(look(crops, VIEW)) + self.bias
        return logits[:, :3].softmax(1), logits[:, 3:6].softmax(1), logits[:, 6:].softmax(1)


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropies against soft labels; each head has its own weight in each row."""
    parts = ((logits[:, :3], 0, GLASSES_WEIGHT), (logits[:, 3:6], MASK, MASK_WEIGHT), (logits[:, 6:], HAT, HAT_WEIGHT))
    return sum(  # type: ignore[return-value]
        (-(target[:, start:weight] * part.log_softmax(1)).sum(1) * target[:, weight]).mean() for part, start, weight in parts
    )


class Dressed(Views):
    """`Crops` of bare faces, some with a mask or sunglasses drawn on before anything else happens to them."""

    def __init__(self, crops: Crops, bare_from: int) -> None:
        self._crops, self._bare_from = crops, bare_from

    def __len__(self) -> int:
        return len(self._crops)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        self._crops.epoch = self.epoch
        crop, target, rng = self._crops.raw(item)
        if item >= self._bare_from and rng.random() < 0.45:
            crop, target = dress(crop, target, rng)
        if rng.random() < 0.25:
            crop, above = cut_off(crop, rng)
            if above > HAT_GONE_PX:
                target = target.copy()
                target[HAT : HAT + 2], target[HAT_WEIGHT] = (1, 0), 0.5 * (target[HAT_WEIGHT] > 0)
        return self._crops.finish(crop, target, rng)


def dress(crop: NDArray[np.uint8], target: NDArray[np.float32], rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw a mask (rightly or wrongly worn) or sunglasses; the targets say so."""
    target = target.copy()
    if rng.random() < 0.3:
        target[:GLASSES_WEIGHT], target[GLASSES_WEIGHT] = (0, 0, 1), 0.7
        return draw_sunglasses(crop, rng), target
    wrongly = bool(rng.random() < 0.6)
    target[MASK:MASK_WEIGHT], target[MASK_WEIGHT] = (0, not wrongly, wrongly), 0.7
    return draw_mask(crop, rng, wrongly), target


def celeba_targets(data: face_crops.CropSet, worn: NDArray[np.float32]) -> NDArray[np.float32]:
    """True eyeglasses and hat; which glasses are sunglasses is the teacher's word."""
    rows = np.zeros((len(data.rows), COLUMNS), np.float32)
    has = data.column("Eyeglasses") == "1"
    dark = np.nan_to_num(worn[:, 2] / (worn[:, 1] + worn[:, 2] + 1e-6), nan=0.3)
    rows[:, 0], rows[:, 1], rows[:, 2] = ~has, has * (1 - dark), has * dark
    hat = data.column("Wearing_Hat") == "1"
    rows[:, HAT], rows[:, HAT + 1] = ~hat, hat
    rows[:, GLASSES_WEIGHT], rows[:, HAT_WEIGHT] = 1, 1
    rows[:, MASK], rows[:, MASK_WEIGHT] = 1, 0.3
    return rows


def taught_targets(worn: NDArray[np.float32], hat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Faces without labels (LFW, UTKFace, FairFace): the teacher's glasses where it is sure; nobody wears a mask there.

    Heads are bare unless our last weights are sure of a hat: few wear one, and thick hair and scarves must not be taken for one.
    """
    rows = np.zeros((len(worn), COLUMNS), np.float32)
    bare, glasses = worn[:, 0] > 0.9, worn[:, 0] < 0.12
    rows[:, 0] = bare
    rows[:, 1:3] = worn[:, 1:3] / worn[:, 1:3].sum(1, keepdims=True).clip(1e-6) * glasses[:, None]
    rows[:, GLASSES_WEIGHT] = bare + 0.7 * glasses
    rows[:, MASK], rows[:, MASK_WEIGHT] = 1, 0.3
    rows[:, HAT], rows[:, HAT_WEIGHT] = 1, 0.4 * (hat < 0.6)
    return rows


def mask_targets(classes: NDArray[np.int64]) -> NDArray[np.float32]:
    """True mask classes."""
    rows = np.zeros((len(classes), COLUMNS), np.float32)
    rows[np.arange(len(classes)), MASK + classes] = 1
    rows[:, MASK_WEIGHT] = 1
    return rows


def teacher_says(sources: Sources, name: str, data: face_crops.CropSet) -> NDArray[np.float32]:
    """For every training crop (of CelebA: with glasses) [N,6].

    ZhouKai90's glasses (none, regular, sun) and mask (no, yes), and P(hat) of the weights served so far.
    """
    file = sources.cache / "crops" / f"{name}.worn.npy"
    if not file.exists():
        teacher = mesh_labels.MeshTeachers(sources.teachers)
        ours = ort.InferenceSession(str(REPOSITORY / "face_accessories" / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
        answers = np.zeros((len(data.rows), 6), np.float32)
        asked = data.found & (data.column("Eyeglasses") == "1" if name == "celeba10k" else data.column("split") == "train")
        for row in tqdm(np.nonzero(asked)[0], desc=f"worn in {name}", unit="face", mininterval=15):
            crop = np.asarray(data.crops[row])
            hat = ours.run(["HAT"], {"FACE_CROPS": np.ascontiguousarray(crop[None, ..., ::-1])})[0][0, 1]
            answers[row] = *teacher.worn(crop), hat
        np.save(file, answers)
    return np.asarray(np.load(file))


def alarm_point(margin: NDArray[np.float32], truth: NDArray[np.bool_], strangers: Sequence[NDArray[np.float32]] = ()) -> float:
    """The margin that one bare face in fifty exceeds.

    With `strangers`, margins of bare faces from elsewhere by group of people: where the balanced accuracy is best, but not so low that
    more than one in a hundred of any group exceeds it.
    """
    if not strangers:
        return float(np.quantile(margin[~truth], 0.98))
    places = np.quantile(margin, np.linspace(0, 1, 400))
    reached = np.array([balanced(margin > place, truth) for place in places])
    return max(float(places[reached >= reached.max() - 0.001].mean()), *(float(np.quantile(group, 0.99)) for group in strangers))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    training_arguments(parser, 8, 12_000)
    options = parser.parse_args()
    sources = sources_from(options)
    masks = mask_crops.load(sources)
    sets = {name: face_crops.load(sources, name, slice(None, None, one_in)) for name, one_in in ONE_IN.items()}
    celeba = sets["celeba10k"]
    worn = {name: teacher_says(sources, name, data) for name, data in sets.items()}
    aside_masks, aside_celeba = held_out(masks.pictures, 10, 1), held_out(celeba.column("identity"), 10, 1)
    mask_rows = np.nonzero(~aside_masks)[0]
    celeba_rows = np.nonzero((celeba.column("split") == "train") & celeba.found & ~aside_celeba)[0]
    by_mask = 1 / np.sqrt(np.bincount(masks.classes[mask_rows], minlength=3))[masks.classes[mask_rows]]
    celeba_all = celeba_targets(celeba, worn["celeba10k"])
    rare = 1 + 6 * celeba_all[celeba_rows, HAT + 1] + 5 * (1 - celeba_all[celeba_rows, 0])
    parts = [(0, mask_rows, mask_targets(masks.classes)[mask_rows], 0.26, by_mask), (1, celeba_rows, celeba_all[celeba_rows], 0.30, rare)]
    for which, (name, share) in enumerate(TAUGHT.items(), 2):
        data = sets[name]
        rows = np.nonzero((data.column("split") == "train") & data.found)[0]
        targets = taught_targets(worn[name][:, :5], worn[name][:, 5])[rows]
        groups = data.column("race")[rows] if name == "fairface" else np.zeros(len(rows), int)
        _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
        parts.append((which, rows, targets, share, (1 + 2.5 * (targets[:, :3].sum(1) - targets[:, 0])) / counts[group]))
    index = np.concatenate([np.stack([np.full_like(rows, which), rows], 1) for which, rows, *_ in parts])
    weights = np.concatenate([share * weight / weight.sum() for *_, share, weight in parts])
    recipe = recipe_from(options, "accessories")
    everything = [masks.crops, *(data.crops for data in sets.values())]
    base = Crops(everything, index, np.concatenate([p[2] for p in parts]), Jitter(VIEW, 1.2), recipe.seed)
    valid_masks = np.nonzero(aside_masks)[0]
    valid_celeba = np.nonzero((celeba.column("split") == "train") & celeba.found & aside_celeba)[0]

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        served = Served(model).eval()  # type: ignore[arg-type]

        def ask(crops: NDArray[np.uint8], rows: NDArray[np.int64]) -> list[NDArray[np.float32]]:
            parts = [served(plain(crops, chunk)) for chunk in np.array_split(rows, max(1, len(rows) // 128))]
            return [torch.cat(part).numpy() for part in zip(*parts, strict=True)]

        _, mask, _ = ask(masks.crops, valid_masks)
        glasses, _, hat = ask(celeba.crops, valid_celeba)
        truth = masks.classes[valid_masks]
        recalls = [float((mask.argmax(1) == kind)[truth == kind].mean()) for kind in range(3)]
        has, hatted = celeba.column("Eyeglasses")[valid_celeba] == "1", celeba.column("Wearing_Hat")[valid_celeba] == "1"
        return {
            **{f"mask_{name}": round(recall, 4) for name, recall in zip(MASKS, recalls, strict=True)},
            "glasses_balanced": round(balanced(glasses.argmax(1) > 0, has), 4),
            "hat_balanced": round(balanced(hat[:, 1] > 0.5, hatted), 4),
        }

    net = train(
        recipe,
        started_from(Accessories(), options.initial, base, VIEW),
        VIEW,
        Dressed(base, len(mask_rows)),
        weights,
        loss,
        validate,
        options.output,
        options.device,
        options.workers,
    )

    example = plain(celeba.crops, valid_celeba[:2]).numpy()
    fair, bare = sets["fairface"], np.nonzero(worn["fairface"][:, 0] > 0.9)[0][::2]

    @torch.no_grad()
    def logits(crops: NDArray[np.uint8], chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        parts = [net(look(plain(crops, part), VIEW)) for part in np.array_split(chosen, max(1, len(chosen) // 64))]
        return np.asarray(torch.cat(parts).numpy())

    people = np.char.add(fair.column("race"), fair.column("gender"))[bare]
    raw, strangers = logits(celeba.crops, valid_celeba), logits(fair.crops, bare)
    bias = [0.0] * 8
    bias[0] = alarm_point(
        raw[:, 1:3].max(1) - raw[:, 0],
        celeba.column("Eyeglasses")[valid_celeba] == "1",
        [(strangers[:, 1:3].max(1) - strangers[:, 0])[people == group] for group in np.unique(people)],
    )
    bias[6] = alarm_point(raw[:, 7] - raw[:, 6], celeba.column("Wearing_Hat")[valid_celeba] == "1")
    export(Served(net, tuple(bias)), "face_accessories", example, "FACE_CROPS", ["GLASSES", "MASK", "HAT"], 0.01)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
