"""Train and export `face_liveness`. Run: python -m scripts.train.liveness --help."""

from __future__ import annotations

import argparse
import json

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.evaluation.statistics import auc
from scripts.graphs.geometry import CROP_SIDE_PX, WIDE_SIDE_PX
from scripts.train.attribute_net import Trunk, View, look, normalise
from scripts.train.attribute_training import held_out, recipe_from, started_from, train
from scripts.train.command import common_arguments, sources_from, training_arguments
from scripts.train.crop_batches import Views
from scripts.train.export import export
from scripts.train.liveness_crops import LivenessCrops, load
from scripts.train.photometry import degrade, relight

Image = NDArray[np.uint8]
VIEW = View(size=96)
# How the samples of an epoch divide, and how far a row's label is the teacher's word.
SHARES = {"scenes": 0.30, "lfw": 0.08, "fairface": 0.10, "simulated": 0.20, "replay": 0.32}
TEACHER_SHARE = {"scenes": 0.3, "lfw": 0.1, "fairface": 0.1, "simulated": 0.1, "replay": 0.4}
MAX_REAL_REJECTED = 0.05
# Of the inner face (rows and columns of the crop) in the median picture of CelebA-Spoof and LFW `train`, 0..1.
FACE_BRIGHTNESS, INNER = 0.42, slice(40, 140)


class Liveness(nn.Module):
    """Input [B,6,96,96]: the upright crop, then the surroundings -> one logit [B,1], high for a living face."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = (Trunk(3, 24, 2, ((40, 1), (72, 1), (112, 1)), 160) for _ in range(2))
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(320, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.drop(torch.cat([self.near(x[:, :3]), self.far(x[:, 3:])], 1)))
        return y


def evened(crops: Tensor, surroundings: Tensor) -> tuple[Tensor, Tensor]:
    """Both views [B,S,S,3] 0..255 with the exponent that gives the inner face the brightness FACE_BRIGHTNESS, within a factor of two.

    How bright a picture is says nothing of whether the face lives, but every training set was exposed in its own way.
    """
    grey = crops[:, INNER, INNER].float() @ crops.new_tensor([0.299, 0.587, 0.114], dtype=torch.float32)
    mean = (grey.mean((1, 2)) / 255).clamp(0.02, 0.98)
    exponent = (np.log(FACE_BRIGHTNESS) / mean.log()).clamp(0.45, 2.2)[:, None, None, None]
    return tuple((view.float() / 255) ** exponent * 255 for view in (crops, surroundings))  # type: ignore[return-value]


class Served(nn.Module):
    """FACE_CROPS UINT8 [B,160,160,3], WIDE_CROPS UINT8 [B,96,96,3] -> LIVENESS [B,1], calibrated: sigmoid(slope * logit + offset)."""

    def __init__(self, net: Liveness, slope: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.net, self.slope, self.offset = net, slope, offset

    def forward(self, crops: Tensor, surroundings: Tensor) -> Tensor:
        crops, surroundings = evened(crops, surroundings)
        far = normalise(surroundings.permute(0, 3, 1, 2), VIEW)
        return (self.net(torch.cat([look(crops, VIEW), far], 1)) * self.slope + self.offset).sigmoid()


class Pairs(Views):
    """(both views uint8 [6,96,96], target [1]: how live, 0..1).

    Both are mirrored and degraded alike, and gently, since attacks are degradations. Light, colour and sharpness change a lot: otherwise
    they would decide, because every set was taken with one camera in one room.
    """

    def __init__(self, data: LivenessCrops, rows: NDArray[np.int64], targets: NDArray[np.float32], seed: int) -> None:
        self._data, self._rows, self._targets, self._seed = data, rows, targets, seed

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self._seed, self.epoch, item])
        row = self._rows[item]
        mirrored = bool(rng.random() < 0.5)
        how = int(rng.integers(1 << 31))
        views = [
            _view(crops[row], side, mirrored, rng, np.random.default_rng(how))
            for crops, side in ((self._data.upright, CROP_SIDE_PX), (self._data.surroundings, WIDE_SIDE_PX))
        ]
        near, far = (torch.from_numpy(view).permute(1, 2, 0)[None] for view in views)
        views = [view[0].permute(2, 0, 1).round().byte().numpy() for view in evened(near, far)]
        if rng.random() < 0.08:  # a picture cut tight around the face has no surroundings
            views[1][:] = 0
        return torch.from_numpy(np.concatenate(views)), torch.from_numpy(self._targets[item : item + 1])


def _view(crop: Image, side: int, mirrored: bool, rng: np.random.Generator, how: np.random.Generator) -> Image:
    scale = VIEW.size / side * np.exp(rng.normal(0, 0.05))
    turn = np.deg2rad(rng.normal(0, 5))
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    shift = (VIEW.size - 1) / 2 + rng.normal(0, 2, 2) - matrix @ np.full(2, (side - 1) / 2)
    seen = cv2.warpAffine(crop, np.hstack([matrix, shift[:, None]]), (VIEW.size,) * 2).astype(np.uint8)
    if how.random() < 0.8:
        seen = relight(seen, how)
    return np.ascontiguousarray(degrade(seen, how, 0.35)[..., ::-1].transpose(2, 0, 1))


def loss(logit: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy against how live a row is."""
    return F.binary_cross_entropy_with_logits(logit[:, 0], target[:, 0])


def family(data: LivenessCrops) -> NDArray[np.str_]:
    """The key of SHARES of each row."""
    return np.where(np.isin(data.source, ["scenes", "lfw", "fairface", "simulated"]), data.source, "replay")


def sampling_weights(data: LivenessCrops, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Families by SHARES; within one, sources and labels alike, whatever their size."""
    weight = np.zeros(len(rows))
    families, sources, live = family(data)[rows], data.source[rows], data.live[rows]
    for name, share in SHARES.items():
        groups = [g for s in np.unique(sources[families == name]) for v in (0, 1) if (g := (sources == s) & (live == v)).any()]
        for group in groups:
            weight[group] = share / len(groups) / group.sum()
    return weight


def calibrate(logits: NDArray[np.float64], live: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset for held-out rows: the slope is Platt's (1999), the offset puts MAX_REAL_REJECTED of the living below 0.5."""
    x = torch.tensor([1.0, 0.0], requires_grad=True)
    values, truth = torch.from_numpy(logits).float(), torch.from_numpy(live.astype(np.float32))
    optimiser = torch.optim.LBFGS([x], max_iter=100)

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = F.binary_cross_entropy_with_logits(values * x[0] + x[1], truth)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return float(x[0].detach()), -float(x[0].detach()) * float(np.quantile(logits[live], MAX_REAL_REJECTED))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    training_arguments(parser, 6, 9_000)
    parser.add_argument("--without", help="leave this replay source out of training and measure on it; nothing is exported")
    options = parser.parse_args()
    data = load(sources_from(options))
    aside = np.isin(family(data), ["scenes", "simulated", "lfw", "fairface"]) & held_out(data.picture, 6, 1)
    left_out = data.source == (options.without or "-")
    rows = np.nonzero(~aside & ~left_out)[0]
    trust = np.array([TEACHER_SHARE[name] for name in family(data)])
    how_live = ((1 - trust) * data.live + trust * data.teacher).astype(np.float32)
    name = f"liveness-without-{options.without}" if options.without else "liveness"
    recipe = recipe_from(options, name, weight_decay=0.05)

    @torch.no_grad()
    def logits(model: nn.Module, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        served = Served(model).eval()  # type: ignore[arg-type]
        parts = [
            torch.logit(served(_rgb(data.upright[part]), _rgb(data.surroundings[part])).double(), eps=1e-9)
            for part in np.array_split(chosen, max(1, len(chosen) // 64))
        ]
        return np.asarray(torch.cat(parts)[:, 0].numpy())

    def validate(model: nn.Module) -> dict[str, float]:
        figures = {}
        for label, chosen in (
            ("scenes", np.nonzero(aside & (data.source == "scenes"))[0]),
            ("simulated", np.nonzero(aside & np.isin(data.source, ["lfw", "fairface", "simulated"]))[0]),
            ("left_out", np.nonzero(left_out)[0]),
        ):
            if len(chosen):
                figures[f"auc_{label}"] = round(auc(logits(model, chosen), data.live[chosen] == 1), 4)
                figures[f"teacher_{label}"] = round(auc(data.teacher[chosen].astype(np.float64), data.live[chosen] == 1), 4)
        return figures

    pairs = Pairs(data, rows, how_live[rows], recipe.seed)
    net = train(
        recipe,
        started_from(Liveness(), options.initial, pairs, VIEW),
        VIEW,
        pairs,
        sampling_weights(data, rows),
        loss,
        validate,
        options.output,
        options.device,
        options.workers,
    )
    if options.without:
        return
    chosen = np.nonzero(aside & (data.source == "scenes"))[0]
    slope, offset = calibrate(logits(net, chosen), data.live[chosen] == 1)
    (options.output / "liveness_calibration.json").write_text(json.dumps({"slope": slope, "offset": offset, "scenes": len(chosen)}))
    example = (_rgb(data.upright[chosen[:2]]).numpy(), _rgb(data.surroundings[chosen[:2]]).numpy())
    export(Served(net, slope, offset), "face_liveness", example, ("FACE_CROPS", "WIDE_CROPS"), ["LIVENESS"], 0.01)  # type: ignore[arg-type]


def _rgb(crops: Image) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(crops[..., ::-1]))


if __name__ == "__main__":
    main()
