"""Train and export `face_demographics`: age, gender, race. Run: python -m scripts.train.demographics --help."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.train.attribute_net import Trunk, View, look
from scripts.train.attribute_training import held_out, recipe_from, started_from, train
from scripts.train.command import common_arguments, sources_from, training_arguments
from scripts.train.crop_batches import Crops, Jitter, plain
from scripts.train.export import export
from scripts.train.face_crops import AGE, MALE, CropSet, load
from scripts.train.face_features import FEATURES, features
from scripts.train.weak_origin import LATINO, MIDDLE_EASTERN, origin_of

VIEW = View(size=96)
AGES = 101
RACES = ("Asian", "Indian", "Black", "White", "Other")
SETS = ("utkface", "lfw", "celeba10k")
BANDS = (0, 4, 10, 18, 30, 40, 50, 60, 70, 200)

# Columns of a target row.
AGE_YEARS, AGE_SIGMA, AGE_WEIGHT, IS_MALE, GENDER_WEIGHT, RACE, RACE_WEIGHT, IS_LATINO, ORIGIN_WEIGHT, FEATURE_ROW, COLUMNS = range(11)
# How much imitating the teacher's features counts beside the labels.
IMITATION_WEIGHT = 2.0

Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class Demographics(nn.Module):
    """Input [B,3,96,96] -> logits of 101 ages, 2 genders (male, female), 5 races (RACES), 1 for `latino` within Other; features."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(3, 24, 2, ((40, 2), (80, 2), (160, 2)), 384)
        self.drop = nn.Dropout(0.25)
        self.age, self.gender, self.race, self.origin, self.imitation = (
            nn.Linear(384, AGES),
            nn.Linear(384, 2),
            nn.Linear(384, len(RACES)),
            nn.Linear(384, 1),
            nn.Linear(384, FEATURES),
        )

    def forward(self, x: Tensor) -> Outputs:
        seen = self.trunk(x)
        kept = self.drop(seen)
        return self.age(kept), self.gender(kept), self.race(kept), self.origin(kept)[:, 0], self.imitation(seen)


class Served(nn.Module):
    """FACE_CROPS UINT8 [B,160,160,3] -> AGE [B,1] years, GENDER [B,2] (male, female), RACE [B,6]."""

    def __init__(self, net: Demographics) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("years", torch.arange(AGES).float())

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        age, gender, race, origin, _ = self.net(look(crops, VIEW))
        years = (age.softmax(1) * self.years).sum(1, keepdim=True)
        five, latino = race.softmax(1), origin.sigmoid()[:, None]
        other = five[:, 4:]
        return years, gender.softmax(1), torch.cat([five[:, :4], other * (1 - latino), other * latino], 1)


class Loss:
    """Label-distribution age (Gao et al., 2018) with the error of the expected value, cross-entropies, imitation; rows weigh as told."""

    def __init__(self, bank: NDArray[np.float16]) -> None:
        """`bank` [rows, FEATURES] holds the teacher's features of every training row; each feature is brought to mean 0, deviation 1."""
        seen = bank.astype(np.float32)
        self._bank = torch.from_numpy((seen - seen.mean(0)) / (seen.std(0) + 1e-3)).clamp(-4, 4)

    def __call__(self, outputs: Outputs, target: Tensor) -> Tensor:
        age, gender, race, origin, imitation = outputs
        years = torch.arange(AGES, device=age.device).float()
        true_age = target[:, AGE_YEARS : AGE_YEARS + 1]
        wanted = (-0.5 * ((years - true_age) / target[:, AGE_SIGMA : AGE_SIGMA + 1]) ** 2).softmax(1)
        expected = (age.softmax(1) * years).sum(1)
        age_loss = -(wanted * age.log_softmax(1)).sum(1) + 0.15 * F.smooth_l1_loss(expected, true_age[:, 0], reduction="none")
        male = target[:, IS_MALE]
        gender_loss = -(torch.stack([male, 1 - male], 1) * gender.log_softmax(1)).sum(1)
        race_loss = F.cross_entropy(race, target[:, RACE].long(), reduction="none", label_smoothing=0.05)
        origin_loss = F.binary_cross_entropy_with_logits(origin, target[:, IS_LATINO], reduction="none")
        parts = ((age_loss, AGE_WEIGHT), (gender_loss, GENDER_WEIGHT), (race_loss, RACE_WEIGHT), (0.5 * origin_loss, ORIGIN_WEIGHT))
        labelled: Tensor = sum((value * target[:, column]).mean() for value, column in parts)  # type: ignore[assignment]
        taught = self._bank[target[:, FEATURE_ROW].long().cpu()].to(age.device)
        return labelled + IMITATION_WEIGHT * F.mse_loss(imitation, taught)


def utk_targets(data: CropSet) -> NDArray[np.float32]:
    """True labels; the gender of small children is softened by the teacher, which sees what can be seen."""
    rows = np.zeros((len(data.rows), COLUMNS), np.float32)
    age, male = data.column("age").astype(np.float32), (data.column("gender") == "M").astype(np.float32)
    rows[:, AGE_YEARS] = age.clip(0, AGES - 1)
    rows[:, AGE_SIGMA], rows[:, AGE_WEIGHT] = 1.0 + 0.05 * age, 1.0
    soft = np.where(np.isnan(data.teachers[:, MALE]), male, data.teachers[:, MALE])
    rows[:, IS_MALE], rows[:, GENDER_WEIGHT] = 0.75 * male + 0.25 * soft, np.where(age < 4, 0.5, 1.0)
    rows[:, RACE] = [RACES.index(race) for race in data.column("race")]
    rows[:, RACE_WEIGHT] = 1.0
    return rows


def lfw_targets(data: CropSet) -> NDArray[np.float32]:
    """Gender from the name, age from the teacher at low weight, origin where it is publicly known."""
    rows = np.zeros((len(data.rows), COLUMNS), np.float32)
    teacher_age = data.teachers[:, AGE]
    rows[:, AGE_YEARS] = np.nan_to_num(teacher_age, nan=40).clip(0, AGES - 1)
    rows[:, AGE_SIGMA], rows[:, AGE_WEIGHT] = 6.0, np.where(np.isnan(teacher_age), 0, 0.15)
    gender = data.column("gender")
    rows[:, IS_MALE], rows[:, GENDER_WEIGHT] = gender == "M", np.isin(gender, ["M", "F"])
    origin = np.array([origin_of(name) for name in data.column("name")])
    rows[:, IS_LATINO], rows[:, ORIGIN_WEIGHT] = origin == LATINO, np.isin(origin, [LATINO, MIDDLE_EASTERN])
    return rows


def celeba_targets(data: CropSet) -> NDArray[np.float32]:
    """Gender as labelled; nothing else."""
    rows = np.zeros((len(data.rows), COLUMNS), np.float32)
    rows[:, AGE_YEARS], rows[:, AGE_SIGMA] = 40, 6
    rows[:, IS_MALE], rows[:, GENDER_WEIGHT] = data.column("Male") == "1", 1
    return rows


def sampling_weights(utk: NDArray[np.float32], lfw: NDArray[np.float32], celeba: NDArray[np.float32]) -> NDArray[np.float64]:
    """UTKFace 64 %, rare ages and races more often, by the square root; LFW 16 %, its known origins and women more often; CelebA 20 %."""
    band = np.digitize(utk[:, AGE_YEARS], BANDS)
    weight = np.ones(len(utk))
    for groups in (band, utk[:, RACE]):
        values, counts = np.unique(groups, return_counts=True)
        weight *= (1 / np.sqrt(counts))[np.searchsorted(values, groups)]
    second = np.where(lfw[:, ORIGIN_WEIGHT] > 0, 4.0, 1.0) * np.where(lfw[:, IS_MALE] > 0.5, 1.0, 2.5)
    third = np.ones(len(celeba))
    return np.concatenate([0.64 * weight / weight.sum(), 0.16 * second / second.sum(), 0.2 * third / third.sum()])


def validator(utk: CropSet, rows: NDArray[np.int64], served_on: str) -> object:
    """Accuracy on the held-out slice of the training rows."""
    ages = utk.column("age").astype(np.float32)[rows]
    male = utk.column("gender")[rows] == "M"
    race = np.array([RACES.index(r) for r in utk.column("race")[rows]])

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        model.eval()
        served = Served(model).to(served_on).eval()  # type: ignore[arg-type]
        answers = [served(plain(utk.crops, chunk).to(served_on)) for chunk in np.array_split(rows, max(1, len(rows) // 128))]
        age, gender, six = (torch.cat(part).cpu().numpy() for part in zip(*answers, strict=True))
        five = np.concatenate([six[:, :4], six[:, 4:].sum(1, keepdims=True)], 1)
        adult, said = ages >= 18, five.argmax(1)
        return {
            "age_mae": round(float(np.abs(age[:, 0] - ages).mean()), 3),
            "gender_adults": round(float(((gender[:, 0] > 0.5) == male)[adult].mean()), 4),
            "gender": round(float(((gender[:, 0] > 0.5) == male).mean()), 4),
            "race_mean_recall": round(float(np.mean([(said == r)[race == r].mean() for r in range(5)])), 4),
        }

    return validate


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    training_arguments(parser, 14, 20_000)
    options = parser.parse_args()
    sources = sources_from(options)
    sets = [load(sources, name) for name in SETS]
    utk = sets[0]
    aside = held_out(utk.column("path"), 16)
    usable = [data.found & (data.column("split") == "train") for data in sets]
    usable[0] &= ~aside
    rows = [np.nonzero(chosen)[0] for chosen in usable]
    targets = [made(data)[chosen] for made, data, chosen in zip((utk_targets, lfw_targets, celeba_targets), sets, rows, strict=True)]
    index = np.concatenate([np.stack([np.full_like(chosen, which), chosen], 1) for which, chosen in enumerate(rows)])
    together = np.concatenate(targets)
    together[:, FEATURE_ROW] = np.arange(len(together))
    bank = np.concatenate([features(sources, name)[chosen] for name, chosen in zip(SETS, rows, strict=True)])
    recipe = recipe_from(options, "demographics")
    crops = Crops([data.crops for data in sets], index, together, Jitter(VIEW), recipe.seed)
    validate = validator(utk, np.nonzero((utk.column("split") == "train") & utk.found & aside)[0], options.device)
    net = train(
        recipe,
        started_from(Demographics(), options.initial),
        VIEW,
        crops,
        sampling_weights(*targets),
        Loss(bank),
        validate,  # type: ignore[arg-type]
        options.output,
        options.device,
        options.workers,
    )
    example = plain(utk.crops, rows[0][:2]).numpy()
    export(Served(net), "face_demographics", example, "FACE_CROPS", ["AGE", "GENDER", "RACE"], 0.02)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
