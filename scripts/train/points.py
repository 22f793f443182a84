"""Train the five points that `face_align` measures on its first, coarse crop. Run: python -m scripts.train.points --help.

The detector says where a face is; its points are coarse, and every attribute learned from crops that lie exactly. So `face_align`
looks at each face once more: a small network on a 64 px crop finds the five points that the final crop is laid by.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.graphs.geometry import LOOK_LEFT, LOOK_SIDE_PX, LOOK_SPAN, LOOK_TOP
from scripts.train import face_crops, mesh_labels
from scripts.train.attribute_net import View, normalise
from scripts.train.attribute_training import Recipe, held_out, train
from scripts.train.blocks import Basic, conv_bn_relu
from scripts.train.command import common_arguments, sources_from
from scripts.train.crop_batches import Crops, Jitter, Views, plain
from scripts.train.export import write_onnx
from scripts.train.worn import draw_mask, draw_sunglasses

VIEW = View(LOOK_LEFT, LOOK_TOP, LOOK_SPAN, LOOK_SIDE_PX)
SETS = {"ytf": 0.15, "lfw": 0.3, "celeba10k": 0.25, "utkface": 0.3}
MIRROR = (1, 0, 2, 4, 3)
REACH = 1.8  # how far crops laid by the detector are misplaced, and more


class Points(nn.Module):
    """Input [B,3,64,64] -> five points in halves of the view's side around its middle: [B,10]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_bn_relu(3, 16, 3, 2),
            Basic(16, 32, 2),
            Basic(32, 64, 2),
            Basic(64, 80, 2),
            nn.Flatten(),
            nn.Linear(80 * 16, 128),
            nn.ReLU(inplace=True),
            nn.Linear(128, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class Served(nn.Module):
    """LOOK_CROPS UINT8 [B,64,64,3] -> CROP_POINTS [B,5,2] in pixels of the 160 px crop."""

    def __init__(self, net: Points) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> Tensor:
        raw = self.net(normalise(crops.permute(0, 3, 1, 2).float(), VIEW)).reshape(-1, 5, 2)
        return raw * (LOOK_SPAN / 2) + torch.tensor([LOOK_LEFT, LOOK_TOP]) + (LOOK_SPAN - 1) / 2


class Worn(Views):
    """`Crops`, some with a mask or sunglasses drawn on."""

    def __init__(self, crops: Crops) -> None:
        self._crops = crops

    def __len__(self) -> int:
        return len(self._crops)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        self._crops.epoch = self.epoch
        crop, target, rng = self._crops.raw(item)
        if rng.random() < 0.15:
            crop = draw_mask(crop, rng, wrongly=bool(rng.random() < 0.2))
        if rng.random() < 0.08:
            crop = draw_sunglasses(crop, rng)
        return self._crops.finish(crop, target, rng)


def five_of(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """Middles of the eyes' corners, nose tip and mouth corners [N,5,2] of meshes [N,478,3]."""
    left, right = (mesh[:, [a, b], :2].mean(1) for a, b in mesh_labels.EYES)
    return np.stack([left, right, mesh[:, 1, :2], mesh[:, 61, :2], mesh[:, 291, :2]], 1)


def move(target: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Points in pixels of the crop -> pixels of the view."""
    points = target.reshape(5, 2) @ matrix[:, :2].T + matrix[:, 2]
    if np.linalg.det(matrix[:, :2]) < 0:
        points = points[list(MIRROR)]
    return points.reshape(-1).astype(np.float32)


def loss(raw: Tensor, target: Tensor) -> Tensor:
    """Smooth absolute error in view pixels."""
    half = VIEW.size / 2
    return F.smooth_l1_loss(raw * half, target - half + 0.5, beta=0.5)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--samples-per-epoch", type=int, default=20_000)
    parser.add_argument("--export-only", action="store_true")
    options = parser.parse_args()
    sources = sources_from(options)
    data = {name: face_crops.load(sources, name) for name in SETS}
    index, targets, weights = [], [], []
    aside, truth = np.zeros(0, np.int64), np.zeros((0, 5, 2), np.float32)
    for which, (name, share) in enumerate(SETS.items()):
        told = mesh_labels.load(sources, name)
        usable = (np.nan_to_num(told.presence) > 0.6) & (data[name].column("split") == "train")
        keys = data[name].column("name" if name == "lfw" else "path")
        kept, five = np.nonzero(usable & ~held_out(keys, 20, 1))[0], five_of(told.mesh)
        if name == "lfw":
            aside = np.nonzero(usable & held_out(keys, 20, 1))[0]
            truth = five[aside]
        index.append(np.stack([np.full_like(kept, which), kept], 1))
        targets.append(five[kept].reshape(-1, 10))
        turned = 1 + np.abs(told.fsa[kept, 0]) / 15
        weights.append(share * turned / turned.sum())
    everything = np.concatenate(targets)
    recipe = Recipe("points", 0 if options.export_only else options.epochs, options.samples_per_epoch, batch=128, weight_decay=0.01)
    crops = Crops([d.crops for d in data.values()], np.concatenate(index), everything, Jitter(VIEW, 1.0, reach=REACH), recipe.seed, move)

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        errors = {}
        for label, strength in (("laid", 0.0), ("misplaced", 1.0)):
            rng, jitter = np.random.default_rng(3), Jitter(VIEW, strength, reach=REACH)
            seen = [jitter(np.asarray(data["lfw"].crops[row]), rng) for row in aside]
            views = torch.from_numpy(np.stack([view for view, _ in seen]))
            said = model(normalise(views.float(), VIEW)).reshape(-1, 5, 2).numpy() * VIEW.size / 2 + VIEW.size / 2 - 0.5
            wanted = np.stack([move(t.reshape(-1), m).reshape(5, 2) for t, (_, m) in zip(truth, seen, strict=True)])
            eyes = np.linalg.norm(wanted[:, 1] - wanted[:, 0], axis=1)
            errors[f"{label}_percent"] = round(float((np.linalg.norm(said - wanted, axis=2).mean(1) / eyes).mean() * 100), 3)
        return errors

    net = train(
        recipe, Points(), VIEW, Worn(crops), np.concatenate(weights), loss, validate, options.output, options.device, options.workers
    )
    means = {name: t.reshape(-1, 5, 2).mean(0).round(3).tolist() for name, t in zip(SETS, targets, strict=True)}
    (options.output / "points_template.json").write_text(
        json.dumps({"all": everything.reshape(-1, 5, 2).mean(0).round(3).tolist(), **means})
    )
    small = torch.nn.functional.avg_pool2d(plain(data["lfw"].crops, aside[:2])[:, :, :, :].permute(0, 3, 1, 2).float(), 2)
    example = small[:, :, 8:72, 8:72].permute(0, 2, 3, 1).round().to(torch.uint8).numpy()
    write_onnx(Served(net), options.output / "points.onnx", "points", example, ("LOOK_CROPS",), ("CROP_POINTS",), 0.05)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
