"""Train and export `face_quality`: eight scores learned from defects of known strength. Run: python -m scripts.train.quality --help."""

from __future__ import annotations

import argparse

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.train import face_crops, mesh_labels
from scripts.train.attribute_net import Trunk, View, look
from scripts.train.attribute_training import Recipe, held_out, train
from scripts.train.command import common_arguments, sources_from
from scripts.train.crop_batches import Views, plain
from scripts.train.defects import BEST, blur, cover, light, no_face, noise
from scripts.train.export import export
from scripts.train.labels import labels
from scripts.train.landmarks import consensus, frame
from scripts.train.worn import draw_mask, draw_sunglasses

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

SCORES = labels("face_quality", "QUALITY")
# Not resized: noise and blur live in single pixels.
VIEW = View(left=24, top=34, side=112, size=112)
UPPER, LOWER = (46.0, 60.0, 114.0, 96.0), (50.0, 98.0, 110.0, 142.0)  # px of the crop
GLASSES_SCORE, SUNGLASSES_SCORE, POSE_PER_DEGREE = 62.0, 15.0, 1.4
SHARPEST = 0.55
# Nothing is told apart above: training knows nothing better than BEST, and what remains there is the noise of the network.
TOP = BEST - 1


class Quality(nn.Module):
    """Input [B,3,112,112] -> eight logits of scores / 100."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(3, 24, 2, ((32, 1), (56, 1), (96, 1)), 160)
        self.out = nn.Linear(160, len(SCORES))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.trunk(x))
        return y


class Served(nn.Module):
    """FACE_CROPS UINT8 [B,160,160,3] -> QUALITY [B,8], 0..100 (SCORES)."""

    def __init__(self, net: Quality) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> Tensor:
        return (self.net(look(crops, VIEW)).sigmoid() * 100).clamp(max=TOP)  # type: ignore[no-any-return]


class Degraded(Views):
    """(view uint8 [3,112,112], scores [8] and weight of the pose score). What is done to a crop decides its scores."""

    def __init__(self, sets: list[Image], index: NDArray[np.int64], glasses: Floats, pose: Floats, seed: int) -> None:
        self._sets, self._index, self._glasses, self._pose, self._seed = sets, index, glasses, pose, seed

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self._seed, self.epoch, item])
        which, row = self._index[item]
        crop, scores = defective(np.asarray(self._sets[which][row]), self._glasses[item], float(self._pose[item]), rng)
        if rng.random() < 0.5:
            crop = np.ascontiguousarray(crop[:, ::-1])
        dx, dy = (int(v) for v in rng.normal(0, 2, 2).round().clip(-6, 6))
        top, left, side = int(VIEW.top) + dy, int(VIEW.left) + dx, int(VIEW.side)
        view = crop[top : top + side, left : left + side, ::-1].transpose(2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(view)), torch.from_numpy(scores)


def defective(crop: Image, glasses: Floats, pose_score: float, rng: np.random.Generator) -> tuple[Image, Floats]:
    """Do up to three things to a good BGR crop. Returns it with its scores [8] and the weight [1] of the pose score."""
    left = dict.fromkeys(SCORES, BEST)
    left["pose"] = pose_score
    left["upper_occlusion"] = float(glasses @ [BEST, GLASSES_SCORE, SUNGLASSES_SCORE])
    known_pose = float(not np.isnan(pose_score))
    if rng.random() < 0.06:
        scores = np.full(len(SCORES) + 1, np.nan, np.float32)
        scores[0], scores[2], scores[-1] = 3, 3, 0
        return no_face(crop, rng), scores
    strengths = rng.uniform(0, 1, 5) ** 1.2 * (rng.random(5) < rng.choice([0.0, 0.2, 0.4], p=[0.15, 0.55, 0.3]))
    crop, left = _covered(crop, left, strengths[:2], rng)
    for name, damage, strength in (("illumination", light, strengths[2]), ("blur", blur, strengths[3]), ("noise", noise, strengths[4])):
        if strength > 0:
            crop = damage(crop, float(strength), rng)
            left[name] = BEST * (1 - float(strength))
    rest = [left[name] for name in SCORES[1:] if not np.isnan(left[name])]
    left["overall"] = 0.75 * min(rest) + 0.25 * float(np.mean(rest))
    return crop, np.array([*left.values(), known_pose], np.float32)


def _covered(crop: Image, left: dict[str, float], strengths: Floats, rng: np.random.Generator) -> tuple[Image, dict[str, float]]:
    upper, lower = (float(v) for v in strengths)
    if upper > 0:
        if rng.random() < 0.3:
            crop, left["upper_occlusion"] = draw_sunglasses(crop, rng), SUNGLASSES_SCORE
        else:
            crop, left["upper_occlusion"] = cover(crop, UPPER, upper, rng), min(left["upper_occlusion"], BEST * (1 - upper))
    if lower > 0:
        if rng.random() < 0.4:
            wrongly = bool(rng.random() < 0.3)
            crop, left["lower_occlusion"] = draw_mask(crop, rng, wrongly), 35.0 if wrongly else 12.0
        else:
            crop, left["lower_occlusion"] = cover(crop, LOWER, lower, rng), BEST * (1 - lower)
    return crop, left


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """Smooth absolute error of the scores that are known."""
    known = ~target[:, :-1].isnan()
    known[:, -1] &= target[:, -1] > 0
    error = F.smooth_l1_loss(logits.sigmoid() * 100, target[:, :-1].nan_to_num(), beta=4.0, reduction="none")
    return (error * known).sum() / known.sum().clamp(min=1) / 10


def sharp(crops: Image, rows: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """The sharpest of the rows, by the variance of the Laplacian of the face's middle."""
    middle = [cv2.cvtColor(np.asarray(crops[row, 60:140, 45:115]), cv2.COLOR_BGR2GRAY) for row in rows]
    edges = np.array([cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 0.8), cv2.CV_32F).var() for grey in middle])
    return rows[edges >= np.quantile(edges, 1 - share)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    parser.add_argument("--epochs", type=int, default=28)
    parser.add_argument("--samples-per-epoch", type=int, default=9_000)
    parser.add_argument("--export-only", action="store_true")
    options = parser.parse_args()
    sources = sources_from(options)
    names = ("lfw", "utkface")
    data = {name: face_crops.load(sources, name) for name in names}
    told = {name: mesh_labels.load(sources, name) for name in names}
    shape, offset = frame(told["lfw"])
    index, glasses, pose, weights = [], [], [], []
    aside = np.zeros(0, np.int64)
    for which, name in enumerate(names):
        usable = (data[name].column("split") == "train") & (np.nan_to_num(told[name].presence) > 0.8) & (told[name].worn[:, 4] < 0.3)
        keys = data[name].column("name" if name == "lfw" else "path")
        rows = sharp(data[name].crops, np.nonzero(usable & ~held_out(keys, 20, 1))[0], SHARPEST)
        if name == "lfw":
            aside = sharp(data[name].crops, np.nonzero(usable & held_out(keys, 20, 1))[0], SHARPEST)
        angles, apart = consensus(told[name], shape, offset)
        turned = np.hypot(angles[rows, 0], angles[rows, 1])
        index.append(np.stack([np.full_like(rows, which), rows], 1))
        glasses.append(told[name].worn[rows, :3])
        pose.append(np.where(apart[rows] < 20, (100 - POSE_PER_DEGREE * turned).clip(2, BEST), np.nan).astype(np.float32))
        weights.append((1 + turned / 12) / (1 + turned / 12).sum())
    recipe = Recipe("quality", 0 if options.export_only else options.epochs, options.samples_per_epoch, weight_decay=0.01)
    views = Degraded([d.crops for d in data.values()], np.concatenate(index), np.concatenate(glasses), np.concatenate(pose), recipe.seed)

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        served = Served(model).eval()  # type: ignore[arg-type]
        rng = np.random.default_rng(1)
        crops, wanted = [], []
        for row in aside[:400]:
            crop, scores = defective(np.asarray(data["lfw"].crops[row]), told["lfw"].worn[row, :3], np.nan, rng)
            crops.append(crop)
            wanted.append(scores)
        clean = torch.cat([served(plain(data["lfw"].crops, chunk)) for chunk in np.array_split(aside[:400], 4)]).numpy()
        said = torch.cat(
            [served(plain(np.stack(crops), np.arange(i, min(i + 100, len(crops))))) for i in range(0, len(crops), 100)]
        ).numpy()
        error = np.abs(said - np.array(wanted)[:, :-1])
        means = {f"error_{name}": round(float(np.nanmean(error[:, i])), 2) for i, name in enumerate(SCORES[:-1])}
        return {**means, **{f"clean_{name}": round(float(np.median(clean[:, i])), 1) for i, name in enumerate(SCORES)}}

    net = train(recipe, Quality(), VIEW, views, np.concatenate(weights), loss, validate, options.output, options.device, options.workers)
    export(Served(net), "face_quality", plain(data["lfw"].crops, aside[:2]).numpy(), "FACE_CROPS", ["QUALITY"], 0.1)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
